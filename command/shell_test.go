package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// serviceCommands are the groups of subcommands that speak with services, and all that is in them.
func serviceCommands() (list []*cobra.Command) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		list = append(list, c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	for _, c := range rootCommand().Commands() {
		if slices.ContainsFunc(shellServices(), func(v *shellService) bool { return v.name == c.Name() }) {
			walk(c)
		}
	}
	return list
}

// TestServiceExamplesRun has a shell run what the help of every subcommand of a service gives as its example, as it
// stands there, where a client of a lab is; /var/lib/lockstep is the directory of one of its nodes. In an example
// that shows how something is refused, `|| test $? = 3` says so.
func TestServiceExamplesRun(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of real processes for seconds")
	}
	runtime, dir := upLab(t, "--nodes", "3", "--transport", "udp")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("lockstep lab exec -- ", "", "/var/lib/lockstep", filepath.Join(dir, "node1"))
	bin := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n%s=1 exec %s \"$@\"\n", asLockstep, self)
	if err := os.WriteFile(filepath.Join(bin, "lockstep"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range serviceCommands() {
		t.Run(strings.ReplaceAll(c.CommandPath(), " ", "-"), func(t *testing.T) {
			if _, err := exec.LookPath("curl"); err != nil && strings.Contains(c.Example, "curl ") {
				t.Skip("curl is not to be had")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			text := "set -e\n" + here.Replace(c.Example)
			cmd := exec.CommandContext(ctx, self, "lab", "exec", "--runtime", runtime, "--", "sh", "-c", text)
			cmd.Env = append(os.Environ(), asLockstep+"=1", "PATH="+bin+":"+os.Getenv("PATH"))
			cmd.Dir = t.TempDir()
			cmd.WaitDelay = 20 * time.Second // what an example leaves behind and kills ends when the machine lets it
			if out, err := cmd.CombinedOutput(); err != nil || c.Example == "" {
				t.Errorf("%v\n%s\n%s", err, c.Example, out)
			}
		})
	}
}

// TestShellSpeaksJSON: acknowledgement and answers are one object a line, with what the service says inside.
func TestShellSpeaksJSON(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of real processes for seconds")
	}
	runtime, dir := upLab(t, "--nodes", "1", "--transport", "udp")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inLab := func(args ...string) []string {
		return append([]string{"lab", "exec", "--runtime", runtime, "--", self, "order"}, args...)
	}
	config := filepath.Join(dir, "node1.toml")
	r := lockstep(t, inLab("new", "--side", "buy", "--price", "7", "--quantity", "2", "--json", "--config", config)...)
	r.want(t, 0, `"kind":"ack","message":1,"level":"applied"`, `"kind":"response","message":1,"service":"order"`)
	if lines := strings.Count(r.out, "\n"); lines != 2 {
		t.Errorf("%d lines\n%s", lines, r.out)
	}
	lockstep(t, inLab("cancel", "--level", "durable")...).want(t, exitRefused, "is durable", "UnknownOrder")
	lockstep(t, inLab("new", "--side", "up")...).want(t, exitUsage, `"up"`)
	lockstep(t, inLab("cancel", "--timeout", "0s")...).want(t, exitUsage, "--timeout")
}

// TestWordsOfAService: the words behind `lockstep NAME` make the message that the subcommand sends.
func TestWordsOfAService(t *testing.T) {
	v := orderShell()
	one, err1 := v.encode([]string{"new", "--side", "buy", "--price", "3", "--quantity", "4"})
	two, err2 := v.encode([]string{"new", "--side=buy", "--quantity=4", "--price=3"})
	if err1 != nil || err2 != nil || len(one) == 0 || !bytes.Equal(one, two) {
		t.Errorf("%x, %v; %x, %v", one, err1, two, err2)
	}
	for _, words := range [][]string{nil, {"frob"}, {"new", "--side", "up"}, {"new", "--frob"}, {"cancel", "2"}} {
		if _, err := v.encode(words); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", words, err)
		}
	}
}

func TestShellWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":                           nil,
		"  a  b\tc ":                 {"a", "b", "c"},
		`put 'a b' "it's" x''y ''`:   {"put", "a b", "it's", "xy", ""},
		`--value="two words" -- 'x'`: {"--value=two words", "--", "x"},
	} {
		if got, err := shellWords(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	}
	if _, err := shellWords("a 'b"); !errors.Is(err, errUsage) {
		t.Errorf("a missing quotation mark: %v", err)
	}
}
