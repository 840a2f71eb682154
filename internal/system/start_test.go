package system

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/lab"
	"lockstep/node"
)

// nobody is a user without any privilege.
const nobody = 65534

// refusedStart is a start of a node that must be refused.
type refusedStart struct {
	name  string
	edit  func(config string) string // what is changed in the config of a node that could start
	user  uint32
	names []string // what the one sentence must name
}

// refuse starts a node where node id of the lab is, and holds what it says against what it must say.
func (c *cluster) refuse(t *testing.T, id int, config string, r *refusedStart) {
	t.Helper()
	text, err := os.ReadFile(config)
	c.do(err)
	dir, err := os.MkdirTemp("", "lockstep-system-") // for every user to read
	c.do(err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	c.do(os.Chmod(dir, 0o755))
	edited := filepath.Join(dir, "node.toml")
	c.do(os.WriteFile(edited, []byte(r.edit(string(text))), 0o644))
	cmd := exec.Command(binary, "node", "--config", edited)
	if r.user != 0 {
		cmd = exec.Command(copyBinary(t), "node", "--config", edited)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: r.user, Gid: r.user}}
	}
	out, code := runCmd(t, func(cmd *exec.Cmd) error { return c.lab.StartNode(id, cmd) }, cmd)
	last := out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]
	if code != 2 {
		t.Errorf("exit code %d, want 2; it said\n%s", code, out)
	}
	for _, name := range r.names {
		if !strings.Contains(last, name) {
			t.Errorf("it does not name %q: %s", name, last)
		}
	}
	if strings.Contains(out, "goroutine ") || strings.Contains(out, "panic") {
		t.Errorf("it fell over: %s", out)
	}
}

// copyBinary puts the binary where everybody can run it.
func copyBinary(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lockstep-system-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	to := filepath.Join(dir, "lockstep")
	in, err := os.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Close()
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// set replaces the value of a key in a config file; old may be given as a prefix of the value.
func set(key, value string) func(string) string {
	return func(config string) string {
		lines := strings.Split(config, "\n")
		for i, line := range lines {
			if name, _, ok := strings.Cut(line, " = "); ok && strings.TrimSpace(name) == key {
				lines[i] = key + " = " + value
				return strings.Join(lines, "\n")
			}
		}
		panic("no key " + key + " in " + config)
	}
}

func all(edits ...func(string) string) func(string) string {
	return func(config string) string {
		for _, edit := range edits {
			config = edit(config)
		}
		return config
	}
}

// newDir makes the directory of a node of the lab's cluster.
func (c *cluster) newDir(t *testing.T, id int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "node")
	_, err := node.Format(c.ctx, dir, id, c.lab.Cluster, nil)
	c.do(err)
	return dir
}

func quoted(s string) string { return `"` + s + `"` }

func TestShouldRefuseABadStartInOneSentence(t *testing.T) {
	needNamespaces(t)
	for _, kind := range []string{"xdp", "udp"} {
		t.Run(kind, func(t *testing.T) {
			c := up(t, lab.Options{Nodes: 1, Transport: kind, XDPMode: "auto"})
			running := c.node(1)
			empty, elses := t.TempDir(), c.newDir(t, 2)
			fresh := c.newDir(t, 1)
			cases := []refusedStart{
				{name: "a misspelt key", edit: func(s string) string { return strings.Replace(s, "rule =", "role =", 1) },
					names: []string{"cluster.role", `did you mean "cluster.rule"?`}},
				{name: "a directory in use", edit: all(), names: []string{running.Dir, "lock", "another"}},
				{name: "a port in use", edit: set("dir", quoted(fresh)), names: []string{"7400", "in use"}},
				{name: "a control port in use",
					edit: all(set("dir", quoted(c.newDir(t, 1))),
						func(s string) string { return strings.Replace(s, ":7400", ":7411", 1) },
						set("kind", `"udp"`)),
					names: []string{"7500", "in use"}},
				{name: "a missing interface",
					edit:  all(set("dir", quoted(c.newDir(t, 1))), set("kind", `"xdp"`), set("interface", `"eth7"`)),
					names: []string{"eth7"}},
				{name: "an address of another host",
					edit: all(set("dir", quoted(c.newDir(t, 1))),
						func(s string) string { return strings.Replace(s, "10.77.0.1:7400", "10.77.0.99:7400", 1) }),
					names: []string{"10.77.0.99"}},
				{name: "a directory without a node", edit: set("dir", quoted(empty)), names: []string{empty, "lockstep format"}},
				{name: "a directory that is not there", edit: set("dir", quoted(empty+"/none")),
					names: []string{empty + "/none"}},
				{name: "a directory of another node", edit: set("dir", quoted(elses)), names: []string{elses, "node 2"}},
			}
			for i := range cases {
				t.Run(cases[i].name, func(t *testing.T) { c.refuse(t, 1, running.Config, &cases[i]) })
			}
			if s, ok := c.status(1); !ok || s.Role != "leader" {
				t.Errorf("the node that ran is %q now", s.Role)
			}
		})
	}
}

func TestShouldRefuseWhatDiffersFromTheLog(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "udp"})
	f := c.start(0, flowOptions{Orders: true, Count: 50})
	c.await("the client is done", func() bool { return f.now().Done })
	c.converge()
	id := c.others(c.leader())[0]
	c.do(c.lab.Stop(id))
	for _, r := range []refusedStart{
		{name: "rule", edit: set("rule", `"replicated"`), names: []string{"rule", "durable", "replicated"}},
		{name: "ring size", edit: set("ring_bytes", "33554432"), names: []string{"ring_bytes", "33554432", "16777216"}},
	} {
		t.Run(r.name, func(t *testing.T) { c.refuse(t, id, c.node(id).Config, &r) })
	}
	c.do(c.lab.Start(id))
	c.follows(id)
	c.prove()
}

func TestShouldRefuseADirectoryOfAnotherCluster(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "udp"})
	id := c.others(c.leader())[0]
	c.do(c.lab.Stop(id))
	dir := filepath.Join(t.TempDir(), "node")
	_, err := node.Format(t.Context(), dir, id, c.lab.Cluster+1, nil)
	c.do(err)
	c.refuse(t, id, c.node(id).Config, &refusedStart{edit: set("dir", quoted(dir)),
		names: []string{dir, node.ClusterString(c.lab.Cluster), node.ClusterString(c.lab.Cluster + 1)}})
	c.do(c.lab.Start(id))
	c.follows(id)
}

func TestShouldNameTheMissingCapability(t *testing.T) {
	needRoot(t, "an unprivileged user is made out of root")
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic"})
	id := c.others(c.leader())[0]
	c.do(c.lab.Stop(id))
	dir, err := os.MkdirTemp("", "lockstep-system-")
	c.do(err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	_, err = node.Format(t.Context(), filepath.Join(dir, "node"), id, c.lab.Cluster, nil)
	c.do(err)
	c.do(filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, nobody, nobody)
	}))
	c.refuse(t, id, c.node(id).Config, &refusedStart{user: nobody, edit: set("dir", quoted(dir+"/node")),
		names: []string{"CAP_"}})
}
