package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/bench"
)

func TestBenchSelfCheckHoldsAndSaysHowFar(t *testing.T) {
	file := filepath.Join(t.TempDir(), "selfcheck.json")
	lockstep(t, "bench", "selfcheck", "--loopback=false", "--json", file).want(t, 0, "all of them right", "a stall of 150 ms")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p99 := map[bench.Loop]float64{}
	for line := range strings.Lines(string(text)) {
		var c bench.SelfCheck
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		if c.Scenario != bench.ScenarioSelfCheck || !c.Right || c.Clock != bench.ClockVirtual {
			t.Errorf("line %s", line)
		}
		if c.Check == "a stall of 150 ms" && c.What == "p99_us" {
			p99[c.Loop] = c.Got
		}
	}
	if p99[bench.Open] < 90_000 || p99[bench.Closed] == 0 || p99[bench.Closed] > 200 {
		t.Errorf("p99 of a stall of 150 ms: %v us; it must show in open loop, and only there", p99)
	}
	lockstep(t, "bench", "selfcheck", "--seconds", "0").want(t, exitUsage, "--seconds 0")
}
