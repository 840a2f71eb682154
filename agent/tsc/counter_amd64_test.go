package tsc

import "testing"

func TestOnlyAPromisedCounterIsTrusted(t *testing.T) {
	for text, want := range map[string]bool{
		"flags\t\t: fpu tsc rdtscp constant_tsc nonstop_tsc avx\n":       true,
		"model name: x\nflags : nonstop_tsc constant_tsc\nflags : tsc\n": true,
		"flags\t\t: fpu tsc constant_tsc\n":                              false,
		"flags\t\t: fpu tsc nonstop_tsc\n":                               false,
		"flags\t\t: xconstant_tsc nonstop_tsc\n":                         false,
		"model name\t: some\n":                                           false,
		"":                                                               false,
	} {
		if reason := judge(text); (reason == "") != want {
			t.Errorf("%q: %q", text, reason)
		}
	}
}
