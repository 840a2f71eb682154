package sim

import (
	"fmt"
	"io"
	"sync"
	"time"

	"lockstep/wire"
)

// Campaign is many worlds, several at once.
type Campaign struct {
	From    uint64
	Seeds   int           // 0: as many as fit For
	For     time.Duration // 0: no limit
	Workers int
	Failure int // ends it after so many failures; 0: 1
	Profile Profile
}

// Totals add up a campaign.
type Totals struct {
	Seeds    int
	Failed   []*Result
	Counts   Counts
	Elapsed  time.Duration
	SettleNs int64 // longest
}

// Run runs the worlds; each worker takes the next seed.
func (c Campaign) Run() *Totals {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		t     Totals
		begin = time.Now()
		next  int
	)
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		if c.Seeds > 0 && next >= c.Seeds || c.For > 0 && time.Since(begin) >= c.For || len(t.Failed) >= max(c.Failure, 1) {
			return 0, false
		}
		next++
		return c.From + uint64(next-1), true
	}
	for range max(c.Workers, 1) {
		wg.Go(func() {
			for seed, ok := take(); ok; seed, ok = take() {
				r := RunWith(seed, DrawAs(seed, c.Profile))
				mu.Lock()
				t.add(r)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Elapsed = time.Since(begin)
	return &t
}

func (t *Totals) add(r *Result) {
	t.Seeds++
	if r.Failure != nil {
		t.Failed = append(t.Failed, r)
	}
	t.Counts.add(&r.Counts)
	t.SettleNs = max(t.SettleNs, r.settleNs)
}

// add adds what happened in another run.
func (c *Counts) add(o *Counts) {
	for _, x := range []struct{ to, from *uint64 }{
		{&c.Events, &o.Events}, {&c.Messages, &o.Messages}, {&c.Voids, &o.Voids}, {&c.Starts, &o.Starts},
		{&c.PowerCuts, &o.PowerCuts}, {&c.Kills, &o.Kills}, {&c.Finishes, &o.Finishes}, {&c.Ends, &o.Ends},
		{&c.Wipes, &o.Wipes}, {&c.Fetches, &o.Fetches}, {&c.SessionsClosed, &o.SessionsClosed},
		{&c.Leaders, &o.Leaders}, {&c.Records, &o.Records}, {&c.Committed, &o.Committed}, {&c.Cuts, &o.Cuts},
		{&c.Recovered, &o.Recovered},
		{&c.Network.Sent, &o.Network.Sent}, {&c.Network.Delivered, &o.Network.Delivered}, {&c.Network.Lost, &o.Network.Lost},
		{&c.Network.Duplicated, &o.Network.Duplicated}, {&c.Network.Reordered, &o.Network.Reordered},
		{&c.Network.Replayed, &o.Network.Replayed}, {&c.Network.Corrupted, &o.Network.Corrupted},
		{&c.Network.Cut, &o.Network.Cut}, {&c.Network.Clogged, &o.Network.Clogged}, {&c.Network.Overrun, &o.Network.Overrun},
	} {
		*x.to += *x.from
	}
	for i := range c.Faults {
		c.Faults[i] += o.Faults[i]
	}
	for i := range c.Stored {
		c.Stored[i] += o.Stored[i]
	}
	for i := range c.Refused {
		c.Refused[i] += o.Refused[i]
	}
	for i := range c.Sometimes {
		c.Sometimes[i] += o.Sometimes[i]
	}
	c.VirtualNs += o.VirtualNs
}

// Never names what is to happen now and then, and did not. A catch-up from spoilt bytes comes about in one world of a
// thousand or so: TestP4RottenBytesOfACatchUpAreDroppedAndFetchedElsewhere plays it.
func (t *Totals) Never() (names []string) {
	for i, n := range t.Counts.Sometimes {
		if n == 0 && i != sometimesSpoiltCatchUps {
			names = append(names, sometimesNames[i])
		}
	}
	return names
}

// Print writes the figures.
func (t *Totals) Print(out io.Writer) {
	c := &t.Counts
	n := uint64(max(t.Seeds, 1))
	fmt.Fprintf(out, "%d seeds in %.1f s: %d events (%d a seed), %.1f virtual hours, %d failed\n",
		t.Seeds, t.Elapsed.Seconds(), c.Events, c.Events/n, float64(c.VirtualNs)/3.6e12, len(t.Failed))
	fmt.Fprintf(out, "messages %d, records committed %d, leaders %d, starts %d, longest way to peace %.2f s\n",
		c.Messages, c.Committed, c.Leaders, c.Starts, float64(t.SettleNs)/1e9)
	fmt.Fprint(out, "faults:")
	for i, n := range c.Faults {
		fmt.Fprintf(out, " %s %d", faultNames[i], n)
	}
	for i, n := range c.Stored {
		fmt.Fprintf(out, " %s %d", storeNames[i], n)
	}
	x := &c.Network
	fmt.Fprintf(out, "\ndatagrams: sent %d lost %d cut %d duplicated %d reordered %d replayed %d corrupted %d clogged %d "+
		"overrun %d\n", x.Sent, x.Lost, x.Cut, x.Duplicated, x.Reordered, x.Replayed, x.Corrupted, x.Clogged, x.Overrun)
	fmt.Fprint(out, "refused:")
	for r, n := range c.Refused {
		if n > 0 {
			fmt.Fprintf(out, " %s %d", wire.Refusal(r).Name(), n)
		}
	}
	fmt.Fprint(out, "\nsometimes:")
	for i, n := range c.Sometimes {
		fmt.Fprintf(out, " %s %d", sometimesNames[i], n)
	}
	fmt.Fprintln(out)
}
