package testnet

import (
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Available says why networks cannot be built here, in a sentence that names the remedy; "" when they can.
func Available() string {
	ns, err := newNamespace()
	if err != nil {
		return err.Error()
	}
	ns.Close()
	return ""
}

// newNamespace makes a network namespace that nothing but the returned descriptor holds. The calling thread stays
// where it is.
func newNamespace() (ns netns.NsHandle, err error) {
	err = elsewhere(func() error {
		if ns, err = netns.New(); err != nil {
			return fmt.Errorf("testnet: make a network namespace: %w: "+
				"run as root (CAP_SYS_ADMIN and CAP_NET_ADMIN are needed)", err)
		}
		return nil
	})
	return ns, err
}

// DoIn runs f on the calling goroutine with its OS thread inside the network namespace that a path names: Member.Path
// of this process or of another one. A process that f replaces this one by (exec) stays in that namespace.
func DoIn(path string, f func() error) error {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return fmt.Errorf("testnet: network namespace %s: %w: is the process that holds it still there?", path, err)
	}
	defer ns.Close()
	return within(ns, f)
}

// within runs f inside a namespace, on the calling goroutine.
func within(ns netns.NsHandle, f func() error) error {
	return elsewhere(func() error {
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("testnet: enter a network namespace: %w", err)
		}
		return f()
	})
}

// elsewhere runs f, which may change the namespace of its OS thread, and brings the thread back, also when f panics
// or ends the goroutine. If that fails the thread stays locked, so that no other goroutine ever runs on it, and ends
// with this goroutine.
func elsewhere(f func() error) (err error) {
	runtime.LockOSThread()
	home, err := netns.GetFromPath(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("testnet: this thread's network namespace: %w: /proc must be mounted", err)
	}
	defer func() {
		defer home.Close()
		if back := netns.Set(home); back != nil {
			if err == nil {
				err = fmt.Errorf("testnet: return to the first network namespace: %w", back)
			}
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

// quietIPv6 keeps IPv6 and its discovery traffic off all interfaces of the namespace that the thread is in. Kernels
// without IPv6 have nothing to keep quiet, and where the setting is read-only IPv6 is only noise.
func quietIPv6() {
	for _, scope := range []string{"all", "default"} {
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+scope+"/disable_ipv6", []byte("1"), 0)
	}
}

// unhookBridge has the bridges of the namespace that the thread is in pass frames on without showing each of them to the
// packet filter, as a switch does. Kernels without that have nothing to take off.
func unhookBridge() {
	for _, protocol := range []string{"ip", "ip6", "arp"} {
		_ = os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-"+protocol+"tables", []byte("0"), 0)
	}
}
