package system

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testnet"
)

// Environment of this test binary. All but the first make it play another part than the test.
const (
	envOn      = "LOCKSTEP_SYSTEM"         // 1: these tests are wanted
	envFlow    = "LOCKSTEP_SYSTEM_FLOW"    // a client: flowOptions as JSON
	envMounts  = "LOCKSTEP_SYSTEM_MOUNTS"  // set where this process has mounts of its own
	envSpoiler = "LOCKSTEP_SYSTEM_SPOILER" // a sender of bad datagrams: spoilerOptions as JSON
	envDriver  = "LOCKSTEP_SYSTEM_DRIVER"  // the session test's client: bench.Target as JSON
)

// binary is what `make build` made.
var binary = filepath.Join("..", "..", "bin", "lockstep")

func TestMain(m *testing.M) {
	if text := os.Getenv(envFlow); text != "" {
		end(runFlow(text))
	}
	if text := os.Getenv(envSpoiler); text != "" {
		end(runSpoiler(text))
	}
	if text := os.Getenv(envDriver); text != "" {
		end(runDriver(text))
	}
	if os.Getenv(envOn) == "1" && os.Geteuid() == 0 && os.Getenv(envMounts) == "" {
		end(ownMounts())
	}
	os.Exit(m.Run())
}

// ownMounts runs this binary again where what it mounts is seen by nobody else and goes with it, however it ends. It
// returns only with an error.
func ownMounts() error {
	runtime.LockOSThread() // the thread that calls exec brings its namespaces along
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), envMounts+"=own"))
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// systemTest skips where system tests were not asked for, and finds the binary.
func systemTest(t *testing.T) {
	t.Helper()
	if os.Getenv(envOn) != "1" {
		t.Skip("system tests run real processes: make system runs them (LOCKSTEP_SYSTEM=1)")
	}
	path, err := filepath.Abs(binary)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("the binary is not there: %v: make build makes it", err)
	}
	binary = path
}

// needNamespaces skips where networks cannot be built.
func needNamespaces(t *testing.T) {
	t.Helper()
	systemTest(t)
	if missing := testnet.Available(); missing != "" {
		t.Skip(missing)
	}
}

// needXDP skips where the kernel has no AF_XDP sockets.
func needXDP(t *testing.T) {
	t.Helper()
	needNamespaces(t)
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
		return
	}
	if errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skip("the kernel is built without CONFIG_XDP_SOCKETS")
	}
	t.Skipf("no AF_XDP socket: %v", err)
}

// needRoot skips for anybody else.
func needRoot(t *testing.T, why string) {
	t.Helper()
	systemTest(t)
	if os.Geteuid() != 0 {
		t.Skipf("not root: %s", why)
	}
}
