package tuning

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lockstep/agent"
)

// offHot is what is wanted where nobody has said which cores are hot.
const offHot = "off the hot cores"

// coreList reads a file that lists cores; the kernel writes (null) for a mask that it never made.
func (h *Host) coreList(path string) ([]int, error) {
	text, err := h.read(path)
	if err != nil {
		return nil, err
	}
	if text == "(null)" {
		return nil, nil
	}
	cores, err := agent.ParseCores(text)
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", path, err)
	}
	return cores, nil
}

// housekeeping are the cores that are online and not hot: where everything else is to run.
func (h *Host) housekeeping(t Target) ([]int, error) {
	online, err := h.coreList("sys/devices/system/cpu/online")
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(online, func(c int) bool { return slices.Contains(t.Cores, c) }), nil
}

// leaveHot is the finding of something that must have housekeeping cores to go to; nil when it has.
func (h *Host) leaveHot(t Target) ([]int, *Finding) {
	if len(t.Cores) == 0 {
		f := unsupported("no hot cores given")
		return nil, &f
	}
	cores, err := h.housekeeping(t)
	if err != nil {
		f := unreadable(err)
		return nil, &f
	}
	if len(cores) == 0 {
		f := unsupported("every core is a hot one: nowhere else to go")
		return nil, &f
	}
	return cores, nil
}

// missing are the cores of want that are not in have.
func missing(want, have []int) []int {
	return slices.DeleteFunc(slices.Clone(want), func(c int) bool { return slices.Contains(have, c) })
}

// common are the cores that are in both.
func common(a, b []int) []int {
	return slices.DeleteFunc(slices.Clone(a), func(c int) bool { return !slices.Contains(b, c) })
}

// listOf is a list of cores as the kernel writes it, with ranges.
func listOf(cores []int) string {
	var words []string
	for i := 0; i < len(cores); {
		j := i
		for j+1 < len(cores) && cores[j+1] == cores[j]+1 {
			j++
		}
		if word := strconv.Itoa(cores[i]); i == j {
			words = append(words, word)
		} else {
			words = append(words, word+"-"+strconv.Itoa(cores[j]))
		}
		i = j + 1
	}
	return strings.Join(words, ",")
}

// coresOr is that, or a word for the reader to replace.
func coresOr(cores []int) string {
	if len(cores) == 0 {
		return "CORES"
	}
	return listOf(cores)
}

// maskOf is a mask of cores as the kernel takes it: groups of 32, the highest first.
func maskOf(cores []int) string {
	groups := make([]uint32, slices.Max(cores)/32+1)
	for _, c := range cores {
		groups[c/32] |= 1 << (c % 32)
	}
	words := make([]string, 0, len(groups))
	for i, g := range slices.Backward(groups) {
		if i == len(groups)-1 {
			words = append(words, fmt.Sprintf("%x", g))
		} else {
			words = append(words, fmt.Sprintf("%08x", g))
		}
	}
	return strings.Join(words, ",")
}

// coresOfMask reads such a mask.
func coresOfMask(mask string) ([]int, error) {
	var cores []int
	groups := strings.Split(mask, ",")
	for i, g := range groups {
		bits, err := strconv.ParseUint(g, 16, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is no mask of cores such as ff or 1,00000000", mask)
		}
		for b := range 32 {
			if bits&(1<<b) != 0 {
				cores = append(cores, (len(groups)-1-i)*32+b)
			}
		}
	}
	slices.Sort(cores)
	return cores, nil
}

// masks wants files that hold a mask to be off the hot cores.
func (h *Host) masks(t Target, paths ...string) Finding {
	rest, end := h.leaveHot(t)
	if end != nil {
		return *end
	}
	var current []string
	var settings []Setting
	for _, path := range paths {
		text, err := h.read(path)
		if err != nil {
			return unreadable(err)
		}
		cores, err := coresOfMask(text)
		if err != nil {
			return unreadable(fmt.Errorf("/%s: %w", path, err))
		}
		if now := "cores " + listOf(cores); !slices.Contains(current, now) {
			current = append(current, now)
		}
		if len(common(cores, t.Cores)) == 0 {
			continue
		}
		settings = append(settings, Setting{KindFile, path, maskOf(rest)})
	}
	f := ok(strings.Join(current, "; "))
	if len(settings) > 0 {
		f = h.change(f.Current, settings...)
	}
	f.Wanted = "cores " + listOf(rest)
	return f
}
