package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Outcome is what became of one setting.
type Outcome string

// The outcomes.
const (
	Changed   Outcome = "changed"
	Would     Outcome = "would change"                         // of a dry run
	Failed    Outcome = "failed"                               // Err says why
	Restored  Outcome = "restored"                             // its original is back
	AsItWas   Outcome = "as it was"                            // it has its original already
	LeftAlone Outcome = "left alone: somebody else changed it" // since Apply
	Forgotten Outcome = "forgotten: the boot since has reset it"
	Gone      Outcome = "gone" // with the device that it was of
)

// Change is what Apply or Revert did with one setting.
type Change struct {
	Item string `json:"item"`
	Kind string `json:"kind"`
	Name string `json:"name"`
	From string `json:"from"` // before
	To   string `json:"to"`   // after
	// What became of it, and why if it failed.
	Outcome Outcome `json:"outcome"`
	Err     string  `json:"error,omitempty"`
}

// String is the change as a line.
func (c Change) String() string {
	line := fmt.Sprintf("%s: %s: %q -> %q, %s", c.Item, Setting{Kind: c.Kind, Name: c.Name}, c.From, c.To, c.Outcome)
	if c.Err != "" {
		line += ": " + c.Err
	}
	return line
}

// Options say how Apply and Revert go about it.
type Options struct {
	State  string   // the state file
	Only   []string // items to apply; all when empty
	DryRun bool     // change nothing, write nothing

	step func(string) // told of every step, for tests that end the process there
}

func (o *Options) complete() {
	if o.step == nil {
		o.step = func(string) {}
	}
}

// Apply writes the settings of every finding that is not as wanted. Originals are in the state file, synced, before the
// first is changed; settings that are there already keep the original that they have. An error means that nothing was
// changed; settings that failed are among the changes.
func Apply(h *Host, t Target, o Options) (changes []Change, err error) {
	o.complete()
	if err := KnownItems(o.Only); err != nil {
		return nil, err
	}
	wanted, changes := wantedSettings(h, t, o.Only)
	if o.DryRun {
		for _, e := range wanted {
			changes = append(changes, e.change(Would, e.Original, e.Wanted, nil))
		}
		return changes, nil
	}
	s, forgotten, err := openStore(h, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, e := range forgotten {
		changes = append(changes, e.change(Forgotten, e.Wanted, "", nil))
	}
	s.confirm(h)
	for _, e := range wanted {
		if i := s.find(e.Setting); i >= 0 {
			s.Entries[i].Wanted, s.Entries[i].Found = e.Wanted, nil
		} else {
			s.Entries = append(s.Entries, e)
		}
	}
	o.step("planned")
	if err := s.save(); err != nil {
		return changes, err
	}
	for _, e := range wanted {
		changes = append(changes, s.write(h, e))
	}
	return changes, s.save()
}

// wantedSettings is what differs, with what it is as the original, and what is not to be changed as that cannot be read.
func wantedSettings(h *Host, t Target, only []string) (wanted []entry, failed []Change) {
	for _, it := range Items() {
		if !it.For.Has(t.Profile) || len(only) > 0 && !slices.Contains(only, it.Name) {
			continue
		}
		f := it.look(h, t)
		for _, setting := range f.Settings {
			current, err := h.Get(setting.Kind, setting.Name)
			e := entry{Item: f.Item, Setting: setting, Original: current}
			switch {
			case err != nil:
				failed = append(failed, e.change(Failed, "", setting.Wanted, err))
			case !same(current, setting.Wanted):
				// Two items may want the same setting, the later one more exactly.
				wanted = slices.DeleteFunc(wanted, func(w entry) bool { return w.Kind == e.Kind && w.Name == e.Name })
				wanted = append(wanted, e)
			}
		}
	}
	return wanted, failed
}

// KnownItems is nil when every name is an item's.
func KnownItems(names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(Items(), func(it Item) bool { return it.Name == name }) {
			return fmt.Errorf("item %q: want one that lockstep tune check lists", name)
		}
	}
	return nil
}

// confirm takes note of settings that a process wrote and did not live to read back.
func (s *store) confirm(h *Host) {
	for i := range s.Entries {
		e := &s.Entries[i]
		if current, err := h.Get(e.Kind, e.Name); e.Found == nil && err == nil && same(current, e.Wanted) {
			e.Found = &current
		}
	}
}

// write changes one setting, and reads it back.
func (s *store) write(h *Host, e entry) Change {
	s.step("before " + e.Name)
	err := h.set(e.Kind, e.Name, e.Wanted)
	s.step("after " + e.Name)
	now, readErr := h.Get(e.Kind, e.Name)
	if err == nil && readErr == nil && !same(now, e.Wanted) {
		err = fmt.Errorf("the kernel made it %q", now)
	}
	i := s.find(e.Setting)
	switch {
	case readErr != nil: // Revert writes the original, whatever it is
	case same(now, s.Entries[i].Original):
		s.Entries = slices.Delete(s.Entries, i, i+1)
	default:
		s.Entries[i].Found = &now
	}
	if err = errors.Join(err, readErr); err != nil {
		return e.change(Failed, e.Original, e.Wanted, err)
	}
	return e.change(Changed, e.Original, now, nil)
}

// Revert puts originals back, the last change first. What it cannot put back stays in the state file. An error means
// that nothing was changed.
func Revert(h *Host, o Options) (changes []Change, err error) {
	o.complete()
	if _, err := os.Stat(o.State); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	s, forgotten, err := openStore(h, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, e := range forgotten {
		changes = append(changes, e.change(Forgotten, e.Wanted, "", nil))
	}
	var kept []entry
	for _, e := range slices.Backward(s.Entries) {
		o.step("before " + e.Name)
		c := e.restore(h, o.DryRun)
		o.step("after " + e.Name)
		if changes = append(changes, c); c.Outcome == Failed {
			kept = append(kept, e)
		}
	}
	if o.DryRun {
		return changes, nil
	}
	slices.Reverse(kept)
	s.Entries = kept
	return changes, s.save()
}

// restore puts one original back.
func (e entry) restore(h *Host, dryRun bool) Change {
	now, err := h.Get(e.Kind, e.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return e.change(Gone, e.Wanted, "", nil)
	case err != nil:
		return e.change(Failed, "", e.Original, err)
	case same(now, e.Original):
		return e.change(AsItWas, now, now, nil)
	case e.Found != nil && !same(now, *e.Found):
		return e.change(LeftAlone, now, now, nil)
	case dryRun:
		return e.change(Would, now, e.Original, nil)
	}
	err = h.set(e.Kind, e.Name, e.Original)
	after, readErr := h.Get(e.Kind, e.Name)
	if err == nil && readErr == nil && !same(after, e.Original) {
		err = fmt.Errorf("the kernel made it %q", after)
	}
	if err = errors.Join(err, readErr); err != nil {
		return e.change(Failed, now, e.Original, err)
	}
	return e.change(Restored, now, after, nil)
}

func (e entry) change(outcome Outcome, from, to string, err error) Change {
	c := Change{Item: e.Item, Kind: e.Kind, Name: e.Name, From: from, To: to, Outcome: outcome}
	if err != nil {
		c.Err = err.Error()
	}
	return c
}
