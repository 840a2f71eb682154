package command

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/node"
)

// peer is a control plane that answers with a status.
func peer(t *testing.T, s node.Status) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(s)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// configWith writes the config of node 1 of two, and says where its directory will be.
func configWith(t *testing.T, control2 string) (config, dir string) {
	t.Helper()
	base := t.TempDir()
	c := node.Defaults()
	c.Node, c.Dir = 1, filepath.Join(base, "node1")
	c.Cluster.Nodes = []node.NodeConfig{
		{ID: 1, Data: "127.0.0.1:7400", Control: "127.0.0.1:7500"},
		{ID: 2, Data: "127.0.0.1:7402", Control: control2},
	}
	text, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(base, "node1.toml")
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return config, c.Dir
}

func TestFormatPrintsTheClusterForTheOthers(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	first := lockstep(t, "format", "--dir", one, "--node", "1")
	first.want(t, 0, one)
	cluster := regexp.MustCompile("[0-9a-f]{16}").FindString(first.out)
	lockstep(t, "format", "--dir", two, "--node", "2", "--cluster", cluster).want(t, 0, cluster)
	a, errA := journal.LoadIdentity(vfs.Real{}, one)
	b, errB := journal.LoadIdentity(vfs.Real{}, two)
	if errA != nil || errB != nil || a.Cluster != b.Cluster || a.Node != 1 || b.Node != 2 ||
		a.Incarnation == b.Incarnation {
		t.Errorf("identities %+v (%v) and %+v (%v)", a, errA, b, errB)
	}
	lockstep(t, "format", "--dir", one, "--node", "1").want(t, exitUsage, one, "already")
}

func TestFormatTakesNodeAndDirectoryFromTheConfig(t *testing.T) {
	config, dir := configWith(t, peer(t, node.Status{Node: 2, Cluster: "00000000000000aa"}))
	lockstep(t, "format", "--config", config).want(t, 0, dir)
	if id, err := journal.LoadIdentity(vfs.Real{}, dir); err != nil || id.Node != 1 {
		t.Errorf("identity %+v, %v", id, err)
	}
}

func TestFormatRefusesWhenAPeerHasALog(t *testing.T) {
	config, dir := configWith(t, peer(t, node.Status{Node: 2, Cluster: "00000000000000aa", Append: 4096}))
	lockstep(t, "format", "--config", config).want(t, exitUsage, "node 2", "00000000000000aa", "reseed")
	if isDir(dir) {
		t.Errorf("%s was made all the same", dir)
	}
}

func TestReseedAsksThePeersForTheCluster(t *testing.T) {
	config, dir := configWith(t, peer(t, node.Status{Node: 2, Cluster: "00000000000000aa", Append: 4096}))
	lockstep(t, "reseed", "--config", config).want(t, 0, dir, "00000000000000aa")
	id, err := journal.LoadIdentity(vfs.Real{}, dir)
	if err != nil || id.Cluster != 0xaa {
		t.Errorf("identity %+v, %v", id, err)
	}
	if _, marked, err := journal.IsRecovering(vfs.Real{}, dir); !marked || err != nil {
		t.Errorf("the new directory is not marked as recovering (%v)", err)
	}
}

func TestReseedNeedsAnAnswerOrTheCluster(t *testing.T) {
	config, dir := configWith(t, "127.0.0.1:1")
	lockstep(t, "reseed", "--config", config).want(t, exitUsage, "--cluster")
	lockstep(t, "reseed", "--config", config, "--cluster", "bb").want(t, 0, dir)
}
