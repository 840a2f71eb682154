package tuning

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// itemCase is one state that an item can have, and a tree in which it has it.
type itemCase struct {
	item   string
	want   State
	files  map[string]string // path below the root -> text
	links  map[string]string // path -> what it points to
	refuse map[string]error  // path -> what the kernel says to whoever reads or writes it
	target Target
	host   func(*Host)
	mends  string // a setting that Apply would write, as path=value; empty: not looked at
}

// itemCases are every item's.
func itemCases() []itemCase {
	return slices.Concat(bootCases, cpuCases, interruptCases, kernelCases, memoryCases, processCases, netCases, diskCases,
		timeCases)
}

// hostOf makes the tree of a case below a new root.
func hostOf(t *testing.T, c itemCase) *Host {
	t.Helper()
	h := tree(t, c.files)
	for path, to := range c.links {
		full := filepath.Join(h.Root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, full); err != nil {
			t.Fatal(err)
		}
	}
	if c.refuse != nil {
		h.Register(KindFile, refusing{files{h.Root}, c.refuse})
	}
	if c.host != nil {
		c.host(h)
	}
	return h
}

func tree(t *testing.T, files map[string]string) *Host {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return HostAt(root)
}

// refusing is a file tree of which the kernel refuses parts: EIO to writers only, anything else to readers as well.
type refusing struct {
	files
	refuse map[string]error
}

func (r refusing) Read(name string) (string, error) {
	if err := r.refuse[name]; err != nil && err != unix.EIO && err != unix.EROFS {
		return "", &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return r.files.Read(name)
}

func (r refusing) Probe(name string) error {
	if err := r.refuse[name]; err != nil && err != unix.EIO {
		return &fs.PathError{Op: "write", Path: name, Err: err}
	}
	return r.files.Probe(name)
}

func (r refusing) Write(name, value string) error {
	if err := r.refuse[name]; err != nil {
		return &fs.PathError{Op: "write", Path: name, Err: err}
	}
	return r.files.Write(name, value)
}

func findingOf(t *testing.T, h *Host, target Target, item string) Finding {
	t.Helper()
	for _, it := range Items() {
		if it.Name == item && it.For.Has(target.Profile) {
			return it.look(h, target)
		}
	}
	t.Fatalf("profile %s does not look at %q", target.Profile, item)
	return Finding{}
}

func TestEveryItemHasEachOfItsStates(t *testing.T) {
	for _, c := range itemCases() {
		h := hostOf(t, c)
		f := findingOf(t, h, c.target, c.item)
		if f.State != c.want {
			t.Errorf("%s with %v: %s (%s), want %s", c.item, c.files, f.State, f.Current, c.want)
			continue
		}
		if f.Current == "" || f.Why == "" || f.Wanted == "" || f.Group == "" {
			t.Errorf("%s (%s) does not say what is, why, and what is wanted: %+v", c.item, f.State, f)
		}
		if f.State.Wrong() != (f.Fix != "") {
			t.Errorf("%s (%s): mended by %q", c.item, f.State, f.Fix)
		}
		if !f.State.Wrong() && len(f.Settings)+len(f.Boot) > 0 {
			t.Errorf("%s is %s and would be changed: %+v", c.item, f.State, f)
		}
		path, value, _ := strings.Cut(c.mends, "=")
		if c.mends != "" && !slices.Contains(f.Settings, Setting{KindFile, path, value}) {
			t.Errorf("%s: %s is not among %+v", c.item, c.mends, f.Settings)
		}
	}
}

// Every item is shown as wanted, as not wanted unless it is only told, and as missing.
func TestEveryItemHasCases(t *testing.T) {
	seen := map[string][]State{}
	for _, c := range itemCases() {
		seen[c.item] = append(seen[c.item], c.want)
	}
	names := map[string]bool{}
	for _, it := range Items() {
		states := seen[it.Name]
		if names[it.Name] {
			t.Errorf("two items named %q", it.Name)
		}
		names[it.Name] = true
		wrong := slices.ContainsFunc(states, State.Wrong)
		if !slices.Contains(states, OK) || wrong != (it.Weight > 0) || !slices.Contains(states, Unsupported) {
			t.Errorf("%s has cases for %v: want ok, unsupported and what can be wrong", it.Name, states)
		}
	}
	for name := range seen {
		if !names[name] {
			t.Errorf("cases for %q, which is no item", name)
		}
	}
}

// What Apply writes into a made-up tree makes the item right; what Revert writes makes the tree what it was.
func TestSettingsMendWhatDiffers(t *testing.T) {
	for _, c := range itemCases() {
		h := hostOf(t, c)
		f := findingOf(t, h, c.target, c.item)
		if f.State != Differs || len(f.Settings) == 0 || c.refuse != nil {
			continue
		}
		before := snapshot(t, h.Root)
		o := Options{State: filepath.Join(t.TempDir(), "tune.json"), Only: []string{c.item}}
		changes, err := Apply(h, c.target, o)
		if err != nil {
			t.Fatalf("%s: %v", c.item, err)
		}
		if f := findingOf(t, h, c.target, c.item); f.State != OK {
			t.Errorf("%s is %s (%s) after %v", c.item, f.State, f.Current, changes)
		}
		if again, err := Apply(h, c.target, o); err != nil || len(again) > 0 {
			t.Errorf("%s: applied again: %v, %v", c.item, again, err)
		}
		if _, err := Revert(h, o); err != nil {
			t.Fatalf("%s: %v", c.item, err)
		}
		if after := snapshot(t, h.Root); !equal(before, after) {
			t.Errorf("%s: %v became %v", c.item, before, after)
		}
	}
}

func TestNothingKnownScoresNothing(t *testing.T) {
	for _, p := range []Profile{Leader, Follower, Client, Lab} {
		findings := Check(tree(t, nil), Target{Profile: p})
		for _, f := range findings {
			if f.State != Unsupported {
				t.Errorf("%s: %s is %s in an empty tree: %s", p, f.Item, f.State, f.Current)
			}
		}
		if score := Score(findings); score != 0 {
			t.Errorf("%s: an empty tree scores %d", p, score)
		}
	}
}

func TestScoreIsWeighed(t *testing.T) {
	findings := []Finding{{State: OK, Weight: 6}, {State: Differs, Weight: 2}, {State: NeedsReboot, Weight: 2},
		{State: Unsupported, Weight: 50}}
	if score := Score(findings); score != 60 {
		t.Errorf("score %d, want 60", score)
	}
	if wrong := Wrong(findings); len(wrong) != 2 || wrong[0].State != Differs {
		t.Errorf("wrong are %v", wrong)
	}
}

func TestThisHostHasAStateForEveryItem(t *testing.T) {
	findings := Check(ThisHost(), Target{Interface: "lo", Dir: t.TempDir(), Cores: []int{0}})
	if len(findings) == 0 {
		t.Fatal("no findings")
	}
	var out strings.Builder
	if err := Print(&out, findings); err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Current == "" || !strings.Contains(out.String(), f.Item) {
			t.Errorf("%s: current %q; printed:\n%s", f.Item, f.Current, out.String())
		}
	}
	text, err := json.Marshal(findings)
	if err != nil {
		t.Fatal(err)
	}
	var back []Finding
	if err := json.Unmarshal(text, &back); err != nil || len(back) != len(findings) || back[0].State != findings[0].State {
		t.Errorf("findings do not come back from JSON: %v", err)
	}
}

func TestProfilesByName(t *testing.T) {
	for _, p := range []Profile{Leader, Follower, Client, Lab} {
		if back, err := ParseProfile(p.String()); back != p || err != nil {
			t.Errorf("%s: %v, %v", p, back, err)
		}
	}
	if _, err := ParseProfile("desk"); err == nil || !strings.Contains(err.Error(), "leader, follower, client, lab") {
		t.Errorf("profile desk: %v", err)
	}
}

// snapshot is every file of a tree.
func snapshot(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = chosen(strings.TrimSpace(string(text)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for path, text := range a {
		if b[path] != text {
			return false
		}
	}
	return true
}
