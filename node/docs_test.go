package node

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"lockstep/internal/counters"
	"lockstep/transport"
	"lockstep/xdp"
)

// The documents that this file holds to the code, from this folder.
const (
	root       = ".."
	operations = "docs/operations.md"
)

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestOperationsListEveryKey wants a row for every key of the config file, with the default that the sample has, and no
// row for a key that there is not.
func TestOperationsListEveryKey(t *testing.T) {
	text := document(t, operations)
	var sample map[string]any
	if _, err := toml.Decode(Sample, &sample); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	flatten(want, "", sample)
	for _, key := range []string{"node", "dir", "cluster.nodes.id", "cluster.nodes.data", "cluster.nodes.control"} {
		want[key] = "required"
	}
	got := map[string]string{}
	_, section, _ := strings.Cut(text, "\n## The config file\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| ([^|]*) \\|").FindAllStringSubmatch(section, -1) {
		got[row[1]] = strings.Trim(row[2], "`")
	}
	for key, value := range want {
		if there, ok := got[key]; !ok {
			t.Errorf("%s has no row for the key %q", operations, key)
		} else if there != value {
			t.Errorf("%s says that %s is %s by default, the sample says %s", operations, key, there, value)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s has a row for %q, which is no key", operations, key)
		}
	}
}

// flatten notes the values of a table under dotted keys, as TOML writes them.
func flatten(into map[string]string, prefix string, table map[string]any) {
	for name, value := range table {
		key := prefix + name
		switch v := value.(type) {
		case map[string]any:
			flatten(into, key+".", v)
		case []map[string]any:
			flatten(into, key+".", v[0])
		case string:
			into[key] = fmt.Sprintf("%q", v)
		default:
			into[key] = fmt.Sprint(v)
		}
	}
}

// TestOperationsListEveryCounter wants every counter that a node registers named, with every label value.
func TestOperationsListEveryCounter(t *testing.T) {
	text := document(t, operations)
	_, section, _ := strings.Cut(text, "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	check := func(name, _ string, _ uint64) {
		base, _, values := splitName(name)
		if histogram, ok := counters.HistogramOf(name); ok {
			base, values = histogram, nil
		}
		row := ""
		for line := range strings.Lines(section) {
			if strings.Contains(line, "`"+base+"`") {
				row = line
			}
		}
		if row == "" {
			t.Errorf("%s does not name the counter %s", operations, base)
		}
		for _, value := range values {
			elsewhere := base == "lockstep_sequencer_refused_total" || value == "none" // wire.md lists refusals
			if !elsewhere && !strings.Contains(row, value) {
				t.Errorf("%s does not name %q of the counter %s", operations, value, base)
			}
		}
	}
	newCluster(t, 1, "durable", t.TempDir()).nodes[0].counters.Each(check)
	transports, err := counters.Create("", 64)
	if err != nil {
		t.Fatal(err)
	}
	defer transports.Close()
	transport.NewCounters(transports)
	transports.Counter("lockstep_relay_full_total", "")
	transports.Each(check)
	(&xdp.Stats{}).Each(check)
}

// TestReadmeShowsTheExample keeps the README's program the one that compiles as an example of package client.
func TestReadmeShowsTheExample(t *testing.T) {
	source := document(t, "client/example_test.go")
	_, body, _ := strings.Cut(source, "\nfunc ExampleDial_network() {\n")
	body, _, found := strings.Cut(body, "\n}\n")
	if !found || !strings.Contains(document(t, "README.md"), "\nfunc main() {\n"+body+"\n}\n") {
		t.Errorf("README.md does not have the body of ExampleDial_network in client/example_test.go as its func main")
	}
}

// TestLinksLeadSomewhere follows the links of all documents within the tree, to files and to headings.
func TestLinksLeadSomewhere(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	documents := []string{"README.md", "CHANGELOG.md"}
	for _, name := range names {
		documents = append(documents, "docs/"+filepath.Base(name))
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, name := range documents {
		for _, m := range link.FindAllStringSubmatch(document(t, name), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			text, err := os.ReadFile(filepath.Join(root, target))
			if err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			} else if anchor != "" && !anchors(string(text))[anchor] {
				t.Errorf("%s links to %s: %s has no such heading", name, m[1], target)
			}
		}
	}
}

// anchors are the names that headings of a document can be linked by.
func anchors(text string) map[string]bool {
	names := map[string]bool{}
	dropped := regexp.MustCompile(`[^a-z0-9 _-]`)
	for line := range strings.Lines(text) {
		if heading := strings.TrimLeft(line, "#"); heading != line {
			name := dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			names[strings.ReplaceAll(name, " ", "-")] = true
		}
	}
	return names
}
