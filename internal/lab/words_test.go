package lab

import (
	"strings"
	"testing"
)

// TestShouldSayWhyANodeHasEnded tells a crash from what is printed after it, and an error from what was printed before.
func TestShouldSayWhyANodeHasEnded(t *testing.T) {
	trace := strings.Repeat("\n\t/src/file.go:291 +0x158", 40)
	for _, c := range []struct{ log, want string }{
		{"", ""},
		{"node 1: ready\nlockstep: node: no such directory\n", "lockstep: node: no such directory"},
		{"node 1: ready\npanic: broken\n\ngoroutine 7 [running]:\nmain.f()" + trace, "panic: broken\n\ngoroutine 7 [running]:\nmain.f()\n"},
		{"node 1: ready\nfatal error: holding locks" + trace, "fatal error: holding locks\n"},
	} {
		got := lastWords(c.log)
		if !strings.HasPrefix(got, c.want) || strings.Count(got, "\n") >= crashLines {
			t.Errorf("of %q: %q", c.log, got)
		}
	}
}
