package nic

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// TestOnAVeth changes a real interface, in a network namespace with a sysfs of its own, dies, and takes everything back.
func TestOnAVeth(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skipf("SKIP %s: needs root for namespaces", t.Name())
	}
	dir, root := t.TempDir(), t.TempDir()
	failed := make(chan error)
	go func() { // the goroutine ends locked, and its thread, which is in the new namespaces, ends with it
		runtime.LockOSThread()
		failed <- onAVeth(t, dir, root)
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

func onAVeth(t *testing.T, dir, root string) error {
	ns, err := netns.New()
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("sysfs", root, "sysfs", 0, ""); err != nil {
		return err
	}
	defer unix.Unmount(root, unix.MNT_DETACH)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumTxQueues, attrs.NumRxQueues = "nic0", 2, 2
	veth := netlink.NewVeth(attrs)
	veth.PeerName = "other"
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	link, err := netlink.LinkByName("nic0")
	if err != nil {
		return err
	}
	of := Interface{Name: "nic0", Index: link.Attrs().Index, MAC: link.Attrs().HardwareAddr.String(), Driver: "veth"}
	setting := func(name string) string {
		b, err := os.ReadFile(filepath.Join(root, "class/net/nic0", name))
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(string(b))
	}

	k, err := Open(of, Options{Dir: dir, Sysfs: root})
	if err != nil {
		return err
	}
	if err := k.BusyPoll(); err != nil {
		return err
	}
	said, err := k.Steer(SteerAuto, flows, 0)
	if err != nil {
		return err
	}
	if !strings.Contains(said, "channels") || Queues("nic0") != 1 || setting(deferFile) != deferPolls || setting(flushFile) != flushNs {
		t.Errorf("%s: %d queues, %s polls, %s ns", said, Queues("nic0"), setting(deferFile), setting(flushFile))
	}
	k.release() // as if the process had been killed
	if k, err = Open(of, Options{Dir: dir, Sysfs: root}); err != nil {
		return err
	}
	if Queues("nic0") != 2 || setting(deferFile) != "0" || setting(flushFile) != "0" {
		t.Errorf("left: %d queues, %s polls, %s ns", Queues("nic0"), setting(deferFile), setting(flushFile))
	}
	if _, err := k.Steer(SteerRules, flows, 1); err == nil || !strings.Contains(err.Error(), "driver veth") {
		t.Errorf("rules on a veth: %v", err)
	}
	return k.Close()
}
