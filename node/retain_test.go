package node

import (
	"slices"
	"testing"

	"lockstep/wire"
)

// TestRetentionWouldNotHurtAnybody goes through every small world: what is held, verified, downloaded, staged and synced,
// and what is to be kept beside it. Each answer is held against what may be lost, said another way.
func TestRetentionWouldNotHurtAnybody(t *testing.T) {
	const end = 6 // positions 1 .. end may have a snapshot: none, unverified, verified, verified and downloaded
	worlds := 0
	h := holding{young: everything, pinned: everything}
	for code := range 4 * 4 * 4 * 4 * 4 {
		var list []held
		for c, at := code, wire.Position(1); at < end; c, at = c/4, at+1 {
			if c%4 > 0 {
				list = append(list, held{position: at, verified: c%4 > 1, pinned: c%4 > 2})
			}
		}
		for verified := range wire.Position(end + 1) {
			for _, durable := range []wire.Position{0, 2, 4, end} {
				for _, applied := range []wire.Position{0, 3, end} {
					for _, h.staged = range [][]wire.Position{nil, {3}, {end}} {
						h.held, h.verified, h.durable, h.applied = list, verified, durable, applied
						checkSnapshots(t, &h)
						worlds++
					}
				}
			}
		}
		for policy := range 4 * 4 * 3 {
			h := holding{held: list, durable: end, applied: end, young: everything, pinned: everything}
			h.policy.Bytes, h.policy.ArchiveWaitBytes = int64(policy%4), int64(policy/4%4)
			for _, h.archived = range []wire.Position{0, 1, 3, end} {
				for _, h.young = range []wire.Position{0, 2, everything} {
					for _, h.pinned = range []wire.Position{1, 3, everything} {
						h.durable = end - wire.Position(policy/16)
						checkLog(t, &h)
						worlds++
					}
				}
			}
		}
	}
	t.Logf("%d worlds", worlds)
}

// checkSnapshots holds what is published, removed and fetched against what must hold.
func checkSnapshots(t *testing.T, h *holding) {
	t.Helper()
	k := decide(h)
	var left []held
	for _, s := range h.held {
		switch removed := slices.Contains(k.remove, s.position); {
		case !removed:
			left = append(left, s)
		case s.pinned:
			t.Fatalf("%+v: removes %d, which is being downloaded", h, s.position)
		}
	}
	newer := func(list []held, p wire.Position, verified bool) (count int) {
		for _, s := range list {
			if s.position > p && s.verified == verified {
				count++
			}
		}
		return count
	}
	for _, s := range h.held {
		if s.verified && newer(h.held, s.position, true) < 2 && !slices.Contains(left, s) {
			t.Fatalf("%+v: removes %d, one of the two newest verified", h, s.position)
		}
	}
	best := wire.Position(0)
	for _, s := range left {
		if s.verified {
			best = s.position
		}
	}
	for _, s := range left {
		if !s.pinned && (newer(left, s.position, true) >= 2 || !s.verified && s.position < best) {
			t.Fatalf("%+v: keeps %d for nothing", h, s.position)
		}
	}
	if n := newer(left, best, false); n > maxUnverified || n < min(maxUnverified, newer(h.held, best, false)) {
		t.Fatalf("%+v: keeps %d that are not verified", h, n)
	}
	if len(left) == 0 && len(h.held) > 0 {
		t.Fatalf("%+v: nothing is left", h)
	}
	if want := len(h.staged) > 0 && h.durable >= h.staged[0]; want != (len(k.publish) == 1) {
		t.Fatalf("%+v: publishes %v", h, k.publish)
	}
	last := wire.Position(0)
	for _, at := range h.staged {
		last = at
	}
	for _, s := range h.held {
		last = max(last, s.position)
	}
	if want := h.verified > last && h.verified <= h.applied; want != k.fetch {
		t.Fatalf("%+v: fetches: %v", h, k.fetch)
	}
}

// checkLog holds where the log may begin against every place where it could: it is the last one that loses nothing.
func checkLog(t *testing.T, h *holding) {
	t.Helper()
	harmless := func(p wire.Position) bool { // whether the log below p is needed by no start, nor wanted by its size or age
		verified := 0
		for _, s := range h.held {
			if s.verified && s.position >= p {
				verified++
			}
		}
		return verified >= 2 && p <= h.durable && p <= h.applied && min(h.durable, h.applied)-p >= wire.Position(h.policy.Bytes) &&
			p <= h.young
	}
	last := func(may func(wire.Position) bool) (p wire.Position) {
		for q := wire.Position(1); q < 10; q++ {
			if may(q) {
				p = q
			}
		}
		return p
	}
	wanted := last(harmless)
	waits := wire.Position(h.policy.ArchiveWaitBytes)
	want := last(func(p wire.Position) bool {
		return p <= wanted && p <= h.pinned && (p <= h.archived || wanted-p >= waits)
	})
	k := decide(h)
	if k.dropBelow != want {
		t.Fatalf("%+v: the log may begin at %d, is to begin at %d", h, want, k.dropBelow)
	}
	unshipped := wire.Position(0)
	if waits > 0 && h.archived < wanted {
		unshipped = min(wanted-h.archived, waits)
	}
	if k.unshipped != unshipped || k.late(&h.policy) != (waits > 0 && unshipped >= waits/2) {
		t.Fatalf("%+v: %d bytes wait for the archive, says %d", h, unshipped, k.unshipped)
	}
}

// TestRetentionCases are worlds that a person would think of.
func TestRetentionCases(t *testing.T) {
	both := []held{{position: 100, verified: true}, {position: 200, verified: true}}
	base := holding{held: both, verified: 200, applied: 300, durable: 300, young: everything, pinned: everything}
	for name, c := range map[string]struct {
		alter func(h *holding)
		want  wire.Position
	}{
		"two verified snapshots":        {func(h *holding) {}, 100},
		"one verified snapshot":         {func(h *holding) { h.held = both[:1] }, 0},
		"no snapshot":                   {func(h *holding) { h.held = nil }, 0},
		"the newest is not verified":    {func(h *holding) { h.held = []held{both[0], {position: 200}} }, 0},
		"much log is to be kept":        {func(h *holding) { h.policy.Bytes = 250 }, 50},
		"more than there is":            {func(h *holding) { h.policy.Bytes = 1 << 40 }, 0},
		"young log":                     {func(h *holding) { h.young = 70 }, 70},
		"a reader":                      {func(h *holding) { h.pinned = 20 }, 20},
		"not archived":                  {func(h *holding) { h.policy.ArchiveWaitBytes = 1000 }, 0},
		"not archived for too long":     {func(h *holding) { h.policy.ArchiveWaitBytes = 30 }, 70},
		"archived half-way":             {func(h *holding) { h.policy.ArchiveWaitBytes, h.archived = 1000, 60 }, 60},
		"archived":                      {func(h *holding) { h.policy.ArchiveWaitBytes, h.archived = 1000, 300 }, 100},
		"synced less far than snapshot": {func(h *holding) { h.durable = 90 }, 90},
	} {
		h := base
		c.alter(&h)
		if k := decide(&h); k.dropBelow != c.want {
			t.Errorf("%s: the log is to begin at %d, want %d", name, k.dropBelow, c.want)
		}
	}
}
