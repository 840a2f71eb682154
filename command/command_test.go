package command

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// asLockstep is in the environment of a test binary that plays the lockstep binary.
const asLockstep = "LOCKSTEP_TEST_RUNS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asLockstep) != "" {
		Main(ownOfTests()...)
		if os.Getenv(tellsPeak) != "" {
			status, _ := os.ReadFile("/proc/self/status")
			_, _ = os.Stderr.Write(status)
		}
		return
	}
	os.Exit(m.Run())
}

// tellsPeak in the environment has it print /proc/self/status at its end, with the most memory that it has had.
const tellsPeak = "LOCKSTEP_TEST_TELLS_PEAK"

// ran is how a command ended.
type ran struct {
	code        int
	out, errors string
}

// lockstep runs the binary.
func lockstep(t *testing.T, args ...string) ran { return lockstepWith(t, "", args...) }

// lockstepWith runs the binary with a text on its standard input.
func lockstepWith(t *testing.T, input string, args ...string) ran {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asLockstep+"=1")
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ran{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// want fails the test unless the command ended with the code and said all the texts, wherever.
func (r ran) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.out, r.errors)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.errors, text) {
			t.Errorf("%q is not in\n%s%s", text, r.out, r.errors)
		}
	}
}

func TestEveryCommandHasHelpAndExample(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Hidden {
				continue
			}
			if sub.Short == "" || !sub.HasExample() && !sub.HasSubCommands() {
				t.Errorf("%s has no help or no example", sub.CommandPath())
			}
			walk(sub)
		}
	}
	walk(rootCommand())
}

func TestUsageErrorsExitWith2AndNameTheFlaw(t *testing.T) {
	dir := t.TempDir()
	cases := []struct {
		args  string
		names string
	}{
		{"format", "--config FILE, or --dir DIR and --node N"},
		{"format --config a --dir b", "--config says"},
		{"format --dir " + dir + " --node 9", "node id 9"},
		{"format --dir " + dir + " --node 1 --cluster xyz", `"xyz"`},
		{"format --config /nonexistent.toml", "/nonexistent.toml"},
		{"format --nod 1", "--nod"},
		{"format now", `"now"`},
		{"reseed --dir " + dir + " --node 1", "cluster"},
		{"recover", "--config FILE"},
		{"recover --config /nonexistent.toml", "/nonexistent.toml"},
		{"recover now", `"now"`},
		{"leader", "--config FILE"},
		{"leader transfer", "--config FILE"},
		{"leader skip 5", "--config FILE"},
		{"snapshot", "--config FILE"},
		{"snapshot --config /nonexistent.toml", "/nonexistent.toml"},
		{"snapshot now", `"now"`},
		{"leader skip here --config /nonexistent.toml", "want a number"},
		{"leader transfer --config /nonexistent.toml", "/nonexistent.toml"},
		{"journal verify", "1 arg"},
		{"journal verify " + dir, dir},
		{"journal diff " + dir, "2 arg"},
		{"journal look", `"look"`},
		{"lab frob", `"frob"`},
		{"lab kill two", `"two"`},
		{"lab status --runtime " + dir, "no lab is up"},
		{"lab up --nodes 8 --runtime " + dir, "8 nodes"},
		{"order new --price 1 --quantity 1", "--side"},
		{"order new --side buy --quantity 1", "--price"},
		{"order new --side buy --price 1 --quantity 1", "--nodes"},
		{"order cancel --level often", `"often"`},
		{"order cancel --nodes 1.2.3.4:5 --cluster 1 --transport tcp", `"tcp"`},
		{"order cancel --nodes here --cluster 1", `"here"`},
	}
	for _, c := range cases {
		t.Run(c.args, func(t *testing.T) { lockstep(t, strings.Fields(c.args)...).want(t, exitUsage, c.names) })
	}
}

func TestParseOrder(t *testing.T) {
	for _, good := range []string{"buy 100 5", "sell 1 2 3", "cancel 7"} {
		if _, err := parseOrder(strings.Fields(good)); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"hold 1 2", "cancel 7 8", "buy 100", "buy 1 2 3 4", "sell 1 -2", "cancel", "cancel x",
		"buy 1 2 4294967296"} {
		if q, err := parseOrder(strings.Fields(bad)); !errors.Is(err, errUsage) {
			t.Errorf("%q became %+v, %v", bad, q, err)
		}
	}
}
