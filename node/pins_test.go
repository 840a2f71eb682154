package node

import "testing"

// TestWhatIsReadStays for a while after the last request, and no longer; a reader that gets nowhere holds nothing up.
func TestWhatIsReadStays(t *testing.T) {
	var p pins
	const second = int64(1e9)
	if p.logFrom(0) != everything || p.holds(100, 0) {
		t.Fatal("pinned before anybody reads")
	}
	p.readsLog(2, 500, second)
	p.readsSnapshot(3, SnapshotRange{At: 300, Install: true}, 2*second)
	if p.logFrom(3*second) != 300 || !p.holds(300, 3*second) || p.holds(500, 3*second) {
		t.Error("the log behind a snapshot that is read is not pinned, or the snapshot is not")
	}
	if p.logFrom(31*second) != 300 || p.logFrom(32*second) != everything || p.holds(300, 32*second) {
		t.Error("the pin of a snapshot does not end 30 s after the last request")
	}
	p.readsSnapshot(3, SnapshotRange{At: 300}, 33*second)
	if p.logFrom(34*second) != everything || !p.holds(300, 34*second) {
		t.Error("who reads a snapshot and has the log holds the log up")
	}
	p.readsSnapshot(3, SnapshotRange{At: 300, Install: true}, 33*second)
	p.readsLog(3, 300, 33*second)
	if p.logFrom(34*second) != 300 || p.logFrom(36*second) != everything {
		t.Error("who has installed a snapshot and reads on holds up more than that")
	}
	p.readsLog(2, 500, 34*second)
	if p.logFrom(35*second) != 500 || p.logFrom(36*second) != everything {
		t.Error("the pin of log does not end 2 s after the last request")
	}
	p.readsLog(2, 700, 40*second)
	p.readsLog(2, 600, 41*second) // it starts over
	if p.logFrom(41*second) != 600 {
		t.Error("the log that is read again is not pinned")
	}
	at := 41 * second
	for ; at < 41*second+2*stuckNs && p.logFrom(at) == 600; at += second {
		p.readsLog(2, 600, at)
	}
	if held := at - 40*second; held < stuckNs || held >= stuckNs+pinLogNs {
		t.Errorf("a reader that gets nowhere holds the log for %d s", held/second)
	}
	at = 1000 * second // a slow reader of a snapshot, and one that reads the log past it
	for from := 800; from < 900; from++ {
		p.readsLog(2, 800+100, at) // the log moves past everything that it reads
		p.readsSnapshot(3, SnapshotRange{At: 900, Offset: int64(from)}, at)
		at += 20 * second
	}
	if !p.holds(900, at) {
		t.Error("a slow reader that gets on loses its snapshot")
	}
	p.readsLog(200, 77, at) // no node of the cluster
	if p.logFrom(at) != 77 {
		t.Error("an unknown reader's log is not pinned")
	}
}
