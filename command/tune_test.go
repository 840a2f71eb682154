package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/tuning"
)

// untuned is a file tree with something to change.
func untuned(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	for path, text := range map[string]string{"proc/sys/vm/swappiness": "60", "proc/sys/kernel/numa_balancing": "1",
		"proc/sys/kernel/random/boot_id": "a boot", "proc/cmdline": "quiet", "sys/devices/system/cpu/isolated": ""} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestTuneChecksAppliesAndReverts(t *testing.T) {
	root := untuned(t)
	var findings []tuning.Finding
	if err := json.Unmarshal([]byte(lockstep(t, "tune", "check", "--root", root, "--json").out), &findings); err != nil {
		t.Fatal(err)
	}
	lockstep(t, "tune", "check", "--root", root, "--core", "2,3").want(t, 0, "swappiness", "differs", "needs reboot",
		"isolcpus=domain,managed_irq,2-3", "score 0 of 100")
	lockstep(t, "tune", "apply", "--root", root, "--dry-run").want(t, 0, `"60" -> "10", would change`)
	lockstep(t, "tune", "apply", "--root", root, "--only", "swappiness").want(t, 0, `"60" -> "10", changed`, "score 0 before")
	lockstep(t, "tune", "apply", "--root", root).want(t, 0, `"1" -> "0", changed`)
	lockstep(t, "tune", "apply", "--root", root).want(t, 0, "nothing to change")
	lockstep(t, "tune", "check", "--root", root, "--profile", "lab").want(t, 0, "score 100 of 100")
	if _, err := os.Stat(filepath.Join(root, tuning.DefaultState)); err != nil {
		t.Errorf("the state is not below the root: %v", err)
	}
	lockstep(t, "tune", "revert", "--root", root).want(t, 0, `"0" -> "1", restored`, `"10" -> "60", restored`)
	text, err := os.ReadFile(filepath.Join(root, "proc/sys/vm/swappiness"))
	if err != nil || string(text) != "60" {
		t.Errorf("swappiness is %q, %v", text, err)
	}
}

func TestTuneReportSaysEverything(t *testing.T) {
	root := untuned(t)
	lockstep(t, "tune", "report", "--root", root).want(t, 0, "command line: quiet", "swappiness", "nothing is applied")
	lockstep(t, "tune", "apply", "--root", root, "--only", "swappiness").want(t, 0)
	lockstep(t, "tune", "report", "--root", root).want(t, 0, `swappiness: /proc/sys/vm/swappiness: "10", was "60"`, "a boot")
	var report tuning.Report
	if err := json.Unmarshal([]byte(lockstep(t, "tune", "report", "--root", root, "--json").out), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Findings) == 0 || len(report.Applied) != 1 || report.Boot != "a boot" {
		t.Errorf("the report is %+v", report)
	}
}

// TestTuneWatchTellsAndExports changes a setting under a watch that somebody reads the metrics of.
func TestTuneWatchTellsAndExports(t *testing.T) {
	root := untuned(t)
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	f := watchFlags{every: 10 * time.Millisecond, listen: "127.0.0.1:0"}
	f.root, f.target.Profile = root, tuning.Lab
	done := make(chan error, 1)
	go func() {
		err := f.watch(ctx, tuning.HostAt(root), out)
		done <- errors.Join(err, out.Close())
	}()
	lines := bufio.NewScanner(in)
	next := func(want string) string {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return lines.Text()
			}
		}
		t.Fatalf("no line with %q", want)
		return ""
	}
	next("score 0 of 100")
	_, url, _ := strings.Cut(next("metrics at "), "metrics at ")
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || !strings.Contains(string(text), "lockstep_tuning_score 0\n") ||
		!strings.Contains(string(text), `lockstep_tuning_item{item="swappiness",state="differs"} 1`) {
		t.Errorf("the metrics are %s, %v", text, err)
	}
	file := filepath.Join(root, "proc/sys/vm/swappiness")
	if err := errors.Join(os.WriteFile(file+".new", []byte("1"), 0o644), os.Rename(file+".new", file)); err != nil {
		t.Fatal(err)
	}
	next("swappiness: differs (60) -> ok (1)")
	next("it was 0")
	cancel()
	for lines.Scan() { // what it still says
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTuneRefusesWhatIsNot(t *testing.T) {
	root := untuned(t)
	lockstep(t, "tune", "check", "--profile", "desk").want(t, exitUsage, "desk", "leader, follower, client, lab")
	lockstep(t, "tune", "apply", "--root", root, "--only", "wishes").want(t, exitUsage, "wishes")
	lockstep(t, "tune", "check", "--root", filepath.Join(root, "nowhere")).want(t, exitUsage, "--root", "nowhere")
	lockstep(t, "tune", "watch", "--root", root, "--every", "0s").want(t, exitUsage, "--every")
	lockstep(t, "tune", "watch", "--root", root, "--listen", "nowhere").want(t, exitUsage, "--listen")
	lockstep(t, "tune", "check", "--core", "-1").want(t, exitUsage, "--core")
}

func TestNodeRefusesAnUnfitHost(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "node.toml")
	text := strings.Join([]string{"node = 1", "dir = '" + filepath.Join(dir, "node") + "'", "[transport]", "kind = 'udp'",
		"[tuning]", "refuse_below = 100", "[cluster]", "[[cluster.nodes]]", "id = 1", "data = '127.0.0.1:17433'",
		"control = '127.0.0.1:17434'"}, "\n")
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	lockstep(t, "format", "--config", config).want(t, 0)
	lockstep(t, "node", "--config", config).want(t, exitUsage, "host: score ", "tuning.refuse_below", "lockstep tune check")
}
