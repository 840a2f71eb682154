package journal

import "lockstep/agent"

// Marker is the watermark's agent: it stores the durable position at most every WatermarkIntervalNs, after the syncs
// that it speaks of. Nothing waits for it. It blocks in DoWork like Writer, and is ended after it.
type Marker struct {
	j     *Journal
	since int64 // when the watermark was first seen behind; 0: it is not
	look  func() (int, error)
}

// WatermarkAgent makes the watermark's agent. Once, before the journal's agents run.
func (j *Journal) WatermarkAgent() (*Marker, error) {
	if !j.ready {
		return nil, ErrForgot
	}
	m := &Marker{j: j}
	m.look = func() (int, error) { return m.behind(), nil }
	if !j.options.Inline {
		parker, err := agent.NewParker()
		if err != nil {
			return nil, err
		}
		j.markSleep.parker = parker
	}
	return m, nil
}

// Name implements agent.Agent.
func (m *Marker) Name() string { return "watermark" }

// OnStart implements agent.Agent.
func (m *Marker) OnStart(int64) error { return nil }

// DoWork implements agent.Agent.
func (m *Marker) DoWork(nowNs int64) (int, error) {
	if m.behind() == 0 {
		m.since = 0
		return m.j.markSleep.sleep(-1, m.look)
	}
	if m.since == 0 {
		m.since = max(1, nowNs)
	}
	if wait := m.since + m.j.options.WatermarkIntervalNs - nowNs; wait > 0 {
		_, err := m.j.markSleep.sleep(wait, noLook)
		return 0, err
	}
	m.since = 0
	if _, err := m.j.watermark.follow(&m.j.durable); err != nil {
		return 0, err
	}
	return 1, nil
}

// noLook is the second look of a thread that only waits for time to pass.
func noLook() (int, error) { return 0, nil }

// behind is 1 when the watermark is not where it is to be, else 0.
func (m *Marker) behind() int {
	stored, known := m.j.watermark.Load()
	if known && uint64(stored) == m.j.durable.Load() {
		return 0
	}
	return 1
}

// Wake implements agent.Waker.
func (m *Marker) Wake() {
	if p := m.j.markSleep.parker; p != nil {
		p.Wake()
	}
}

// OnClose implements agent.Agent: the watermark is brought up once more.
func (m *Marker) OnClose() error {
	_, err := m.j.watermark.follow(&m.j.durable)
	return err
}
