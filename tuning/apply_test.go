package tuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const bootID = "proc/sys/kernel/random/boot_id"

// untuned is a tree with several things to change, of several items.
func untuned(t *testing.T) *Host {
	return tree(t, map[string]string{bootID: "boot-1", governor: "powersave", vm + "swappiness": "60", dirty: "20",
		dirtyBackground: "10", hugePages + "defrag": "always", online: "0-7", workqueue: "ff"})
}

func outcomes(changes []Change) (list []Outcome) {
	for _, c := range changes {
		list = append(list, c.Outcome)
	}
	return list
}

func stateOf(t *testing.T) Options {
	return Options{State: filepath.Join(t.TempDir(), "kept", "tune.json")}
}

func set(t *testing.T, h *Host, path, value string) {
	t.Helper()
	if err := h.set(KindFile, path, value); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, h *Host, path string) string {
	t.Helper()
	text, err := h.read(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestApplyIsIdempotentAndRevertRestores(t *testing.T) {
	h, o := untuned(t), stateOf(t)
	before := snapshot(t, h.Root)
	dry := o
	dry.DryRun = true
	planned, err := Apply(h, hot, dry)
	if err != nil || len(planned) != 6 || !equal(before, snapshot(t, h.Root)) {
		t.Fatalf("dry run: %v, %v", planned, err)
	}
	if _, err := os.Stat(filepath.Dir(o.State)); err == nil {
		t.Error("a dry run left a state folder")
	}
	changes, err := Apply(h, hot, o)
	if err != nil || len(changes) != len(planned) {
		t.Fatalf("%v, %v", changes, err)
	}
	if again, err := Apply(h, hot, o); err != nil || len(again) > 0 {
		t.Errorf("applied again: %v, %v", again, err)
	}
	reverted, err := Revert(h, o)
	if err != nil || len(reverted) != len(changes) || !equal(before, snapshot(t, h.Root)) {
		t.Errorf("reverted: %v, %v", reverted, err)
	}
	if reverted[0].Name != changes[len(changes)-1].Name || reverted[0].Outcome != Restored {
		t.Errorf("the last change is not the first put back: %v", reverted)
	}
	if _, err := os.Stat(o.State); err == nil {
		t.Error("nothing is left to revert, and a state file is")
	}
	if none, err := Revert(h, o); err != nil || len(none) > 0 {
		t.Errorf("reverted again: %v, %v", none, err)
	}
}

// Settings fail one by one: the others are made, and what has failed is as it was.
func TestApplyGoesOnOverWhatFails(t *testing.T) {
	h, o := untuned(t), stateOf(t)
	h.Register(KindFile, refusing{files{h.Root}, map[string]error{dirty: unix.EIO, vm + "swappiness": unix.EROFS}})
	changes, err := Apply(h, hot, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		bad := c.Name == dirty || c.Name == vm+"swappiness"
		if bad != (c.Outcome == Failed) || bad != (c.Err != "") {
			t.Errorf("%s", c)
		}
	}
	if _, err := Revert(h, o); err != nil || read(t, h, governor) != "powersave" || read(t, h, dirty) != "20" {
		t.Errorf("reverted to %s and %s, %v", read(t, h, governor), read(t, h, dirty), err)
	}
}

// What Revert cannot put back it puts back the next time.
func TestRevertKeepsWhatFails(t *testing.T) {
	h, o := untuned(t), stateOf(t)
	before := snapshot(t, h.Root)
	if _, err := Apply(h, hot, o); err != nil {
		t.Fatal(err)
	}
	good := h.backends[KindFile]
	h.Register(KindFile, refusing{files{h.Root}, map[string]error{dirty: unix.EIO}})
	changes, err := Revert(h, o)
	if err != nil || !slices.Contains(outcomes(changes), Failed) {
		t.Fatalf("%v, %v", changes, err)
	}
	h.Register(KindFile, good)
	changes, err = Revert(h, o)
	if err != nil || len(changes) != 1 || !equal(before, snapshot(t, h.Root)) {
		t.Errorf("%v, %v", changes, err)
	}
}

func TestRevertLeavesWhatOthersChanged(t *testing.T) {
	h, o := untuned(t), stateOf(t)
	if _, err := Apply(h, hot, o); err != nil {
		t.Fatal(err)
	}
	set(t, h, governor, "schedutil")
	set(t, h, vm+"swappiness", "60")
	if err := os.Remove(filepath.Join(h.Root, hugePages+"defrag")); err != nil {
		t.Fatal(err)
	}
	changes, err := Revert(h, o)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Outcome{governor: LeftAlone, vm + "swappiness": AsItWas, hugePages + "defrag": Gone, dirty: Restored}
	for _, c := range changes {
		if w := want[c.Name]; w != "" && w != c.Outcome {
			t.Errorf("%s: want %s", c, w)
		}
	}
	if read(t, h, governor) != "schedutil" {
		t.Error("somebody else's choice is undone")
	}
}

// Somebody changes a setting between two applies: the first original is the one to go back to.
func TestApplyKeepsTheFirstOriginal(t *testing.T) {
	h, o := untuned(t), stateOf(t)
	for _, value := range []string{"60", "30"} {
		set(t, h, vm+"swappiness", value)
		if _, err := Apply(h, hot, o); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Revert(h, o); err != nil || read(t, h, vm+"swappiness") != "60" {
		t.Errorf("swappiness is %s, %v", read(t, h, vm+"swappiness"), err)
	}
}

func TestAnotherBootForgetsByName(t *testing.T) {
	for name, act := range map[string]func(*Host, Options) ([]Change, error){
		"apply":  func(h *Host, o Options) ([]Change, error) { return Apply(h, Target{Profile: Lab}, o) },
		"revert": Revert,
	} {
		h, o := untuned(t), stateOf(t)
		changed, err := Apply(h, hot, o)
		if err != nil {
			t.Fatal(err)
		}
		set(t, h, bootID, "boot-2")
		set(t, h, governor, "ondemand")
		changes, err := act(h, o)
		if err != nil {
			t.Fatal(err)
		}
		forgotten := 0
		for _, c := range changes {
			if c.Outcome == Forgotten {
				forgotten++
			}
		}
		if forgotten != len(changed) {
			t.Errorf("%s: %v: want %d forgotten", name, changes, len(changed))
		}
		if _, err := Revert(h, o); err != nil || read(t, h, governor) != "ondemand" {
			t.Errorf("%s: reverted to %s, %v", name, read(t, h, governor), err)
		}
	}
}

func TestStateFilesThatCannotBeUsed(t *testing.T) {
	h, o := untuned(t), stateOf(t)
	if _, err := Apply(h, hot, o); err != nil {
		t.Fatal(err)
	}
	if _, err := Revert(tree(t, map[string]string{bootID: "boot-1"}), o); err == nil || !strings.Contains(err.Error(), "--state") {
		t.Errorf("another root's state: %v", err)
	}
	s, _, err := openStore(h, Options{State: o.State})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Apply(h, hot, o); !errors.Is(err, ErrBusy) {
		t.Errorf("while another is at work: %v", err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"{", `{"version":2,"settings":[]}`} {
		if err := os.WriteFile(o.State, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Apply(h, hot, o); err == nil || !strings.Contains(err.Error(), o.State) {
			t.Errorf("state %q: %v", text, err)
		}
	}
}

func TestOnlyTakesItems(t *testing.T) {
	h, o := untuned(t), stateOf(t)
	o.Only = []string{"swappiness"}
	if changes, err := Apply(h, hot, o); err != nil || len(changes) != 1 || read(t, h, governor) != "powersave" {
		t.Errorf("%v, %v", changes, err)
	}
	o.Only = []string{"wishes"}
	if _, err := Apply(h, hot, o); err == nil || !strings.Contains(err.Error(), "wishes") {
		t.Errorf("an item that there is not: %v", err)
	}
}

// Two items want the same setting: the later one's value is written, once, and the original put back.
func TestTwoItemsOfOneSetting(t *testing.T) {
	defer func(saved []Item) { kernelItems = saved }(kernelItems)
	want := func(value string) func(*Host, Target) Finding { return oneOf(vm+"swappiness", value) }
	kernelItems = []Item{{Name: "one", For: everywhere, Look: want("1")}, {Name: "two", For: everywhere, Look: want("2")}}
	h, o := untuned(t), stateOf(t)
	o.Only = []string{"one", "two"}
	changes, err := Apply(h, hot, o)
	if err != nil || len(changes) != 1 || read(t, h, vm+"swappiness") != "2" {
		t.Errorf("%v, %v", changes, err)
	}
	if _, err := Revert(h, o); err != nil || read(t, h, vm+"swappiness") != "60" {
		t.Errorf("swappiness is %s, %v", read(t, h, vm+"swappiness"), err)
	}
}

// Environment of the process that the test kills.
const (
	killRoot  = "LOCKSTEP_TUNING_ROOT"
	killState = "LOCKSTEP_TUNING_STATE"
	killVerb  = "LOCKSTEP_TUNING_VERB"
	killAt    = "LOCKSTEP_TUNING_KILL_AT"
)

func TestMain(m *testing.M) {
	if os.Getenv(killRoot) == "" {
		// Hundreds of trees of small files: on a disk they cost more than all that is tested.
		if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
			_ = os.Setenv("TMPDIR", "/dev/shm")
		}
		os.Exit(m.Run())
	}
	at, err := strconv.Atoi(os.Getenv(killAt))
	if err != nil {
		panic(err)
	}
	steps := 0
	o := Options{State: os.Getenv(killState), step: func(string) {
		if steps++; steps == at {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {} // until it has come
		}
	}}
	h, target := HostAt(os.Getenv(killRoot)), hot
	if h.Root == "/" {
		h, target = ThisHost(), Target{Profile: Lab}
	}
	var changes []Change
	if os.Getenv(killVerb) == "apply" {
		changes, err = Apply(h, target, o)
	} else {
		changes, err = Revert(h, o)
	}
	if err != nil {
		panic(err)
	}
	_ = json.NewEncoder(os.Stdout).Encode(changes)
	os.Exit(0)
}

// killed runs apply or revert in a process that ends by SIGKILL at a step; false: it had fewer steps.
func killed(t *testing.T, h *Host, o Options, verb string, at int) bool {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), killRoot+"="+h.Root, killState+"="+o.State, killVerb+"="+verb, fmt.Sprint(killAt, "=", at))
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false
	case errors.As(err, &exit) && strings.Contains(exit.String(), "killed"):
		return true
	}
	t.Fatalf("%s, killed at step %d: %v: %s", verb, at, err, out)
	return false
}

// However far a process came that was killed, revert puts everything back; and so does one that was killed itself and
// is run again.
func TestKilledAnywhereIsRecoveredByRevert(t *testing.T) {
	h := untuned(t)
	before := snapshot(t, h.Root)
	steps := 0
	for at := 1; ; at++ {
		o := stateOf(t)
		died := killed(t, h, o, "apply", at)
		if !died {
			break
		}
		steps++
		revertAt := at % 7
		if revertAt > 0 {
			killed(t, h, o, "revert", revertAt)
		}
		if changes, err := Revert(h, o); err != nil || slices.Contains(outcomes(changes), Failed) {
			t.Fatalf("killed at step %d: %v, %v", at, changes, err)
		}
		if after := snapshot(t, h.Root); !equal(before, after) {
			t.Fatalf("killed at step %d: %v became %v", at, before, after)
		}
	}
	if steps < 15 {
		t.Errorf("apply has %d steps", steps)
	}
}

// A process that was killed before it read back what it wrote leaves a setting that the kernel may have made its own
// form of: it is put back all the same.
func TestUnconfirmedSettingIsPutBack(t *testing.T) {
	h, o := untuned(t), stateOf(t)
	for at := 1; read(t, h, governor) == "powersave"; at++ {
		if !killed(t, h, o, "apply", at) {
			t.Fatal("apply was never killed between two settings")
		}
	}
	set(t, h, governor, "Performance")
	if _, err := Revert(h, o); err != nil || read(t, h, governor) != "powersave" {
		t.Errorf("governor is %s, %v", read(t, h, governor), err)
	}
}
