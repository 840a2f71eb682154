package tuning

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGarbageIsAFinding: whatever a kernel of another version has in its files, an item has a state and says what it saw.
func TestGarbageIsAFinding(t *testing.T) {
	for _, c := range itemCases() {
		h := hostOf(t, c)
		for path, good := range c.files {
			full := filepath.Join(h.Root, path)
			for _, text := range []string{"", "-1", "x,y", "[", "7-3", "99999999999999999999", "a\nb c\n\nd", "\x00"} {
				if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				f := findingOf(t, h, c.target, c.item)
				if f.Current == "" || f.State.Wrong() && f.Fix == "" {
					t.Errorf("%s with %s = %q: %s (%s), mended by %q", c.item, path, text, f.State, f.Current, f.Fix)
				}
			}
			if err := os.WriteFile(full, []byte(good), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestADriverThatTellsNonsenseIsAnError: counts and sizes come from the driver.
func TestADriverThatTellsNonsenseIsAnError(t *testing.T) {
	for _, count := range []uint32{0, maxFeatures + 1, 1 << 31} {
		e := Ethtool{Ask: func(_ string, b []byte) error {
			if word(b, 0) == unix.ETHTOOL_GSSET_INFO {
				putWord(b, 4, count)
			}
			return nil
		}}
		if _, err := e.Read("eth0/feature/rx-lro"); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%d features: %v", count, err)
		}
	}
}
