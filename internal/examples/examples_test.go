package examples

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/lab"
)

// Environment of this test binary.
const (
	envOn    = "LOCKSTEP_EXAMPLES"       // docs: the documents' blocks are wanted; all: those of --help as well
	envStage = "LOCKSTEP_EXAMPLES_STAGE" // this process is lockstep as an example calls it: stage as JSON
	envInLab = "LOCKSTEP_CLUSTER"        // set by lockstep lab exec
)

// patience ends what hangs. Nothing is expected to need it.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	if text := os.Getenv(envStage); text != "" {
		if err := play(text, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "example:", err)
			os.Exit(125)
		}
	}
	os.Exit(m.Run())
}

// play becomes what an example's call of lockstep is made into. It returns only with an error.
func play(text string, args []string) error {
	var s stage
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	line := append([]string{s.Binary}, args...)
	if len(args) > 0 && args[0] != "lab" {
		help, err := helpOf(s.Binary, args)
		if err != nil {
			return err
		}
		c, err := take(args, help)
		if err != nil {
			return err
		}
		line = append([]string{s.Binary}, s.shorten(c)...)
		if c.uses() && os.Getenv(envInLab) == "" {
			line = append([]string{s.Binary, "lab", "exec", "--runtime", s.Runtime, "--"}, line...)
		}
	}
	fmt.Fprintln(os.Stderr, time.Now().Format(time.TimeOnly), strings.Join(line, " "))
	return syscall.Exec(line[0], line, os.Environ())
}

// helpOf asks a command for its help. What follows the first flag is left out.
func helpOf(binary string, args []string) (string, error) {
	words := []string{}
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			break
		}
		words = append(words, arg)
	}
	out, err := exec.Command(binary, append(words, "--help")...).Output()
	return string(out), err
}

// wanted skips where examples were not asked for, and finds the binary.
func wanted(t *testing.T, what ...string) (binary string) {
	t.Helper()
	asked := false
	for _, w := range what {
		asked = asked || os.Getenv(envOn) == w
	}
	if !asked {
		t.Skip("runs measurements: make system and make examples run them (LOCKSTEP_EXAMPLES=docs, all)")
	}
	binary = filepath.Join(root, "bin", "lockstep")
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("the binary is not there: %v: make build makes it", err)
	}
	return binary
}

// raise makes a lab that takes the place of the clusters that examples name, and a folder in which lockstep is what
// plays them.
func raise(t *testing.T, binary string) (s stage, path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "examples") // short: it has sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	memory, err := os.MkdirTemp("/dev/shm", "examples")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(memory) }) // what a failed run leaves for whoever looks
	s = stage{Binary: binary, Runtime: filepath.Join(dir, "lab"), Memory: memory, Scratch: t.TempDir()}
	nodes := filepath.Join(dir, "nodes")
	inLab := func(verb string, args ...string) {
		out, err := exec.Command(binary, append([]string{"lab", verb, "--runtime", s.Runtime}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("lockstep lab %s: %v: %s", verb, err, out)
		}
	}
	t.Cleanup(func() { inLab("down") })
	inLab("up", "--rule", "replicated", "--dir", nodes)
	r, err := lab.Attach(s.Runtime)
	if err != nil {
		t.Fatal(err)
	}
	state, err := r.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var at, processes []string
	for i := range state.Nodes {
		at = append(at, state.Nodes[i].Data)
		processes = append(processes, fmt.Sprintf("node%d=%d", i+1, state.Nodes[i].PID))
	}
	s.Processes = strings.Join(processes, ",")
	s.At, s.Cluster, s.Control = strings.Join(at, ","), state.Cluster, state.Nodes[0].Control
	s.Config = filepath.Join(nodes, "node1.toml")

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "bin")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(path, "lockstep")); err != nil {
		t.Fatal(err)
	}
	return s, path
}

// run runs one script in a folder, and holds it to the exit code that it has to have.
func (s *stage) run(t *testing.T, path, dir string, x script) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.MkdirTemp("", "example")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(own)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-e", "-c", x.text)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+path+":"+os.Getenv("PATH"), envStage+"="+string(text), lab.EnvRuntime+"="+own)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if testing.Verbose() {
		t.Logf("%s", out)
	}
	code := 0
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
		code = ended.ExitCode()
	}
	if code != x.exit || code == 0 && err != nil {
		t.Errorf("ended with %v, want exit code %d\n%s\n%s", err, x.exit, x.text, out)
	}
	if _, err := lab.Attach(own); err == nil { // a lab that the script has not taken down
		_ = exec.Command(s.Binary, "lab", "down", "--runtime", own).Run()
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range left {
		holdJSON(t, name)
	}
}

// holdJSON wants lines of JSON in a file, one at least.
func holdJSON(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
		return
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	for i, line := range lines {
		if !json.Valid(line) {
			t.Errorf("%s, line %d is no JSON: %q", filepath.Base(name), i+1, line)
		}
	}
}

// TestDocumentedExamplesRun runs the marked blocks of the documents.
func TestDocumentedExamplesRun(t *testing.T) {
	binary := wanted(t, "docs", "all")
	list, err := documented()
	if err != nil {
		t.Fatal(err)
	}
	s, path := raise(t, binary)
	for _, x := range list {
		if x.long && os.Getenv(envOn) != "all" {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s.run(t, path, t.TempDir(), x)
		})
	}
}

// TestHelpExamplesRun runs what --help shows.
func TestHelpExamplesRun(t *testing.T) {
	binary := wanted(t, "all")
	var list []script
	for _, c := range []string{"bench", "tune"} {
		more, err := helped(binary, c)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, more...)
	}
	s, path := raise(t, binary)
	for _, x := range list {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			line := strings.TrimSpace(x.text)
			if why, is := apart[line]; is {
				t.Skip(why)
			}
			dir := t.TempDir()
			for part, text := range before {
				if strings.Contains(line, part) {
					s.run(t, path, dir, script{text: text})
				}
			}
			s.run(t, path, dir, x)
		})
	}
}

// apart are examples of --help that are not run, and why.
var apart = map[string]string{
	"lockstep bench peers --rounds 3 --json peers.json":                                                   needsPeers,
	"lockstep bench peers --systems lockstep,etcd --commit durable --series closed,1000 --json part.json": needsPeers,
	"lockstep bench peers --from peers.json,part.json":                                                    needsPeers,
	"lockstep bench cost --at 127.0.0.1:7400 --cluster 5f3c... --pid leader=1234,follower=1235":           needsNumbers,
}

const needsNumbers = "names processes of a cluster that runs on this host"

const needsPeers = "builds other systems, whose modules it fetches: make peers-check runs them"

// before is what has to be done before the examples that have this in them, in the same folder.
var before = map[string]string{
	"lockstep bench flow day.csv":               "lockstep bench flow --write day.csv --messages 2000\n",
	"lockstep bench rtt --lab --flow-file day.": "lockstep bench flow --write day.csv --messages 2000\n",
	"lockstep bench compare":                    "lockstep bench rtt --lab --commit replicated --json a.json\ncp a.json b.json\n",
	"lockstep bench report":                     "lockstep bench floor --floors spsc --json rtt.json\nlockstep bench report rtt.json -o report.html\n",
}
