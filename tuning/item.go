package tuning

import (
	"fmt"
	"strings"
)

// Setting is one value that Apply writes.
type Setting struct {
	Kind   string `json:"kind"`   // KindFile, or what a Backend was registered as
	Name   string `json:"name"`   // of a file: its path below the root, without a leading slash
	Wanted string `json:"wanted"` // the value, as Backend.Read would return it
}

// String is the setting as an operator would name it.
func (s Setting) String() string {
	if s.Kind == KindFile {
		return "/" + s.Name
	}
	return s.Kind + " " + s.Name
}

// Finding is what was found of one item.
type Finding struct {
	Item     string    `json:"item"`
	Group    string    `json:"group"`
	State    State     `json:"state"`
	Current  string    `json:"current"`
	Wanted   string    `json:"wanted"`
	Why      string    `json:"why"`
	Fix      string    `json:"fix,omitempty"` // what mends it: a command, or what to do; empty when nothing is wrong
	Weight   int       `json:"weight"`        // in the score
	Boot     []string  `json:"boot,omitempty"`
	Settings []Setting `json:"settings,omitempty"` // what Apply writes
}

// Item is one thing of the host.
type Item struct {
	Name   string // of its own; what --only takes
	Group  string
	Why    string // one sentence
	Wanted string // unless the finding says it
	// How it is changed by hand; a finding with settings or boot parameters needs none, nor one that says it itself.
	How    string
	Weight int // in the score: 1 little, 3 microseconds in the tail, 10 milliseconds in the tail or safety; 0 only told
	For    Profiles
	// Look fills State and Current, and where they apply Wanted, Fix, Boot and Settings. Settings hold what is to be changed
	// only: an item that is OK has none.
	Look func(h *Host, t Target) Finding
}

// Items is every item there is, in the order in which Apply goes through them.
func Items() []Item {
	var all []Item
	for _, group := range [][]Item{bootItems, cpuItems, interruptItems, kernelItems, memoryItems, processItems,
		netItems, diskItems, timeItems} {
		all = append(all, group...)
	}
	return all
}

// look is a finding with everything that the item itself knows.
func (it *Item) look(h *Host, t Target) Finding {
	f := it.Look(h, t)
	f.Item, f.Group, f.Why, f.Weight = it.Name, it.Group, it.Why, it.Weight
	if f.Wanted == "" {
		f.Wanted = it.Wanted
	}
	if f.Current == "" {
		f.Current = "nothing is said"
	}
	if !f.State.Wrong() {
		f.Fix, f.Boot, f.Settings = "", nil, nil
	} else if f.Fix == "" {
		f.Fix = f.mend(t, it.How)
	}
	return f
}

// mend is the command that mends a finding.
func (f *Finding) mend(t Target, how string) string {
	switch {
	case len(f.Settings) == 1 && f.Settings[0].Kind == KindFile:
		return fmt.Sprintf("echo %s > %s", f.Settings[0].Wanted, f.Settings[0])
	case len(f.Settings) > 0:
		return fmt.Sprintf("lockstep tune apply%s --only %q", t.Flags(), f.Item)
	case len(f.Boot) > 0:
		return "boot with " + joinWords(f.Boot)
	}
	return how
}

// Flags are those of lockstep tune for a target, with a space in front.
func (t Target) Flags() string {
	text := " --profile " + t.Profile.String()
	if t.Interface != "" {
		text += " --interface " + t.Interface
	}
	if t.Dir != "" {
		text += " --dir " + t.Dir
	}
	if len(t.Cores) > 0 {
		words := make([]string, len(t.Cores))
		for i, c := range t.Cores {
			words[i] = fmt.Sprint(c)
		}
		text += " --core " + strings.Join(words, ",")
	}
	return text
}

// The findings of looks that end early.

func ok(current string) Finding { return Finding{State: OK, Current: current} }

func differs(current string, settings ...Setting) Finding {
	return Finding{State: Differs, Current: current, Settings: settings}
}

func unsupported(format string, args ...any) Finding {
	return Finding{State: Unsupported, Current: fmt.Sprintf(format, args...)}
}

func verdict(good bool, current string) Finding {
	if good {
		return ok(current)
	}
	return differs(current)
}

// reboot is something that only the boot loader changes.
func reboot(current string, parameters ...string) Finding {
	return Finding{State: NeedsReboot, Current: current, Boot: parameters}
}
