package tsc

import (
	"os"
	"strings"
)

// counter reads the time stamp counter.
func counter() uint64

// trusted says why the counter cannot be used; empty: it can.
func trusted() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "/proc/cpuinfo cannot be read"
	}
	return judge(string(text))
}

// judge looks for the processor's promises in the text of /proc/cpuinfo.
func judge(text string) string {
	for line := range strings.Lines(text) {
		name, flags, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) != "flags" {
			continue
		}
		has := map[string]bool{}
		for _, flag := range strings.Fields(flags) {
			has[flag] = true
		}
		for _, want := range []string{"constant_tsc", "nonstop_tsc"} {
			if !has[want] {
				return "the processor does not say " + want
			}
		}
		return ""
	}
	return "/proc/cpuinfo has no flags"
}
