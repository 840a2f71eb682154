package tuning

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/agent"
)

// Kinds of settings that this host has beside files.
const (
	KindAffinity = "affinity" // of a thread: its number and name -> the cores it may run on, as the kernel lists them
	KindService  = "service"  // of systemd: its name -> active or inactive
)

func parseList(list string) ([]int, error) {
	if list == "(null)" {
		return nil, nil
	}
	return agent.ParseCores(list)
}

// affinities are those of threads. The name is part of a setting's name, so that a number that was given to another
// thread since is not taken for the first. Of a tree they are what its files say.
type affinities struct {
	h    *Host
	tree bool
}

func (b affinities) thread(name string) (pid int, err error) {
	number, comm, _ := strings.Cut(name, " ")
	if pid, err = strconv.Atoi(number); err != nil {
		return 0, fmt.Errorf("tuning: thread %q: %w", name, err)
	}
	if now, err := b.h.read("proc/" + number + "/comm"); err != nil || now != comm {
		return 0, fmt.Errorf("tuning: thread %q: %w", name, fs.ErrNotExist)
	}
	return pid, nil
}

func (b affinities) Read(name string) (string, error) {
	pid, err := b.thread(name)
	if err != nil {
		return "", err
	}
	text, err := b.h.read(fmt.Sprintf("proc/%d/status", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if list, found := strings.CutPrefix(line, "Cpus_allowed_list:"); found {
			return strings.TrimSpace(list), nil
		}
	}
	return "", fmt.Errorf("tuning: thread %q: no Cpus_allowed_list in its status", name)
}

func (b affinities) Write(name, value string) error {
	pid, err := b.thread(name)
	if err != nil {
		return err
	}
	cores, err := parseList(value)
	if err != nil {
		return err
	}
	if b.tree {
		return b.rewrite(pid, value)
	}
	var set unix.CPUSet
	for _, c := range cores {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(pid, &set); err != nil {
		return fmt.Errorf("tuning: affinity of thread %q: %w", name, err)
	}
	return nil
}

// rewrite makes a tree say what a kernel would.
func (b affinities) rewrite(pid int, list string) error {
	path := fmt.Sprintf("proc/%d/status", pid)
	text, err := b.h.read(path)
	if err != nil {
		return err
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		if strings.HasPrefix(lines[i], "Cpus_allowed_list:") {
			lines[i] = "Cpus_allowed_list:\t" + list
		}
	}
	return b.h.set(KindFile, path, strings.Join(lines, "\n"))
}

// services are systemd's.
type services struct{}

// serviceLimit bounds a call of systemctl.
const serviceLimit = 30 * time.Second

func systemctl(arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), serviceLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", arguments...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (services) Read(name string) (string, error) {
	state, err := systemctl("is-active", name)
	if state == "active" || state == "inactive" {
		return state, nil // the exit code says the same
	}
	return "", fmt.Errorf("tuning: service %s: %s: %w", name, state, errors.Join(errors.ErrUnsupported, err))
}

func (services) Write(name, value string) error {
	verb := map[string]string{"active": "start", "inactive": "stop"}[value]
	if verb == "" {
		return fmt.Errorf("tuning: service %s: %q: want active or inactive", name, value)
	}
	if out, err := systemctl(verb, name); err != nil {
		return fmt.Errorf("tuning: systemctl %s %s: %s: %w", verb, name, out, err)
	}
	return nil
}
