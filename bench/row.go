package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Row is one series of measurements: one JSON line. Times are microseconds.
type Row struct {
	Scenario    string  `json:"scenario"`
	System      string  `json:"system,omitempty"` // whose figures these are, where several are measured beside one another
	Transport   string  `json:"transport"`
	Mode        string  `json:"mode"`
	Nodes       int     `json:"nodes"`
	Commit      string  `json:"commit"`
	Level       string  `json:"level"`
	Loop        string  `json:"loop"`
	Rate        float64 `json:"rate"`
	Burst       int     `json:"burst"`
	Payload     int     `json:"payload"`
	Sent        uint64  `json:"sent"`
	Acked       uint64  `json:"acked"`
	Lost        uint64  `json:"lost"`
	Duplicated  uint64  `json:"duplicated"`
	Reordered   uint64  `json:"reordered"`
	PerSec      float64 `json:"per_sec"`
	MinUs       float64 `json:"min_us"`
	P50Us       float64 `json:"p50_us"`
	P90Us       float64 `json:"p90_us"`
	P99Us       float64 `json:"p99_us"`
	P999Us      float64 `json:"p999_us"`
	P9999Us     float64 `json:"p9999_us"`
	MaxUs       float64 `json:"max_us"`
	FloorP50Us  float64 `json:"floor_p50_us"`
	RatioP50    float64 `json:"ratio_p50"`
	StealPct    float64 `json:"steal_pct"`
	JitterP99Us float64 `json:"jitter_p99_us"`
	Fsync       string  `json:"fsync"`
	DirFS       string  `json:"dir_fs"`
	Sync        string  `json:"sync"`
	Layout      string  `json:"layout"`
	Idle        string  `json:"idle"`
	Cores       int     `json:"cores"`
	Kernel      string  `json:"kernel"`
	NIC         string  `json:"nic"`
	Disk        string  `json:"disk"`
	MTU         int     `json:"mtu"`
	Clients     int     `json:"clients"`
	Window      int     `json:"window"`
	GCCycles    uint64  `json:"gc_cycles"`
	Events      int     `json:"events"`
	ElectionMin int64   `json:"election_min_ms"`
	ElectionMax int64   `json:"election_max_ms"`
	Heartbeat   int64   `json:"heartbeat_ms"`
	Elections   int64   `json:"elections_more"`
	Revision    string  `json:"revision"`
	Host        string  `json:"host"`
	Flow        string  `json:"flow,omitempty"`
	FlowFile    string  `json:"flow_file,omitempty"`  // of a recorded flow
	FlowSpeed   float64 `json:"flow_speed,omitempty"` // times as fast as it was recorded; 0: at the rate
	Rejected    uint64  `json:"rejected,omitempty"`   // by the order book, of a recorded flow
	Conditions

	Hist     string          `json:"hist,omitempty"`     // every time of the row: EncodeHistogram
	Timeline []TimelinePoint `json:"timeline,omitempty"` // the round trips as time went by
	Marks    []Mark          `json:"marks,omitempty"`    // what was done meanwhile

	Stages []StageRow     `json:"stages,omitempty"`
	Audit  *FailoverAudit `json:"audit,omitempty"`
	Memory *MemoryFigures `json:"memory,omitempty"`
	Storm  *StormFigures  `json:"storm,omitempty"`

	Ramp      *RampFigures      `json:"ramp,omitempty"`
	Admission *AdmissionFigures `json:"admission,omitempty"`
	Cost      *CostFigures      `json:"cost,omitempty"`
	Scaling   *ScalingFigures   `json:"scaling,omitempty"`
	Jitter    *JitterFigures    `json:"jitter,omitempty"`
}

// MemoryFigures are what so many open sessions take, in bytes. Per session: what the processes have grown by since as few
// sessions were open as the run begins with.
type MemoryFigures struct {
	Sessions           int     `json:"sessions"`
	LeaderResident     int64   `json:"leader_resident"`
	FollowerResident   int64   `json:"follower_resident"` // of the follower that takes most
	LeaderHeap         int64   `json:"leader_heap"`       // of Go, in use
	FollowerHeap       int64   `json:"follower_heap"`
	LeaderPerSession   float64 `json:"leader_per_session"`
	FollowerPerSession float64 `json:"follower_per_session"`
	ClientPerSession   float64 `json:"client_per_session"` // of the process that holds them
	OpenedMs           float64 `json:"opened_ms"`          // until all were open
	OpenedPerSec       float64 `json:"opened_per_sec"`
}

// StormFigures are how sessions came back after their leader was killed, when all of them found that out at once.
type StormFigures struct {
	Sessions       int     `json:"sessions"`
	OutageMs       float64 `json:"outage_ms"`        // of the working session
	FirstMs        float64 `json:"first_ms"`         // from the kill to the first session that came back
	AllMs          float64 `json:"all_ms"`           // and to the last
	AdmittedPerSec float64 `json:"admitted_per_sec"` // from the first to the last
	PeakPerSec     int     `json:"peak_per_sec"`     // most of them in any 100 ms, a second
	Closed         int     `json:"closed"`           // sessions that were lost
	Unanswered     uint64  `json:"unanswered"`       // messages of theirs, one each
	Wrong          uint64  `json:"wrong"`            // answered twice, or out of order
}

// FailoverAudit is what became of everything that a run of kills, cuts and hand-overs was about.
type FailoverAudit struct {
	Audit
	Sessions     int    `json:"sessions"`
	InFlight     int    `json:"in_flight"`    // messages under way just before an event, at the least, of all sessions
	Wrong        uint64 `json:"wrong"`        // responses that are none to the message that they name
	Unanswered   uint64 `json:"unanswered"`   // sent, and never acknowledged
	Operations   int    `json:"operations"`   // acknowledged messages whose order was held against time
	Linearizable bool   `json:"linearizable"` // those could have happened one after the other
}

// Holds says whether everything is as it must be.
func (a *FailoverAudit) Holds() bool {
	return a.Audit.Holds() && a.Wrong+a.Unanswered == 0 && a.Linearizable
}

// NewHistogram holds nanoseconds from 1 us to 60 s at three significant digits.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60e9, 3) }

// record takes a time. What is longer than the histogram holds counts as the longest: left out, the worst would be in no percentile.
func record(h *hdrhistogram.Histogram, ns int64) {
	_ = h.RecordValue(min(ns, h.HighestTrackableValue()))
}

// EncodeHistogram is a histogram as text: HdrHistogram V2, compressed, base64; empty for one without values.
func EncodeHistogram(h *hdrhistogram.Histogram) string {
	if h.TotalCount() == 0 {
		return ""
	}
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil { // it writes to memory
		panic("bench: a histogram cannot be encoded: " + err.Error())
	}
	return string(text)
}

// maxHistogramText bounds what is read of a file: the longest text of a histogram like those here has some 30 KiB.
const maxHistogramText = 128 << 10

// DecodeHistogram reads what EncodeHistogram wrote: nanoseconds in the buckets of NewHistogram; nil for an empty text. What is
// longer than those hold counts as the longest.
func DecodeHistogram(text string) (*hdrhistogram.Histogram, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxHistogramText {
		return nil, fmt.Errorf("bench: a histogram of %d bytes: want %d at most", len(text), maxHistogramText)
	}
	read, err := hdrhistogram.Decode([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("bench: a histogram that cannot be read: %w", err)
	}
	h := NewHistogram()
	if dropped := h.Merge(read); dropped > 0 {
		_ = h.RecordValues(h.HighestTrackableValue(), dropped)
	}
	return h, nil
}

// SetTimes fills the percentiles of a row from a histogram of nanoseconds, and the histogram itself.
func (r *Row) SetTimes(h *hdrhistogram.Histogram) {
	r.Use(NewTimes(h))
	r.Hist = EncodeHistogram(h)
}

// Use fills the percentiles of a row.
func (r *Row) Use(t Times) {
	r.MinUs, r.P50Us, r.P90Us, r.P99Us, r.P999Us, r.P9999Us, r.MaxUs = t.MinUs, t.P50Us, t.P90Us, t.P99Us, t.P999Us, t.P9999Us, t.MaxUs
}

// Times are the percentiles of a histogram, in microseconds.
type Times struct {
	Count   int64   `json:"count"`
	MinUs   float64 `json:"min_us"`
	P50Us   float64 `json:"p50_us"`
	P90Us   float64 `json:"p90_us"`
	P99Us   float64 `json:"p99_us"`
	P999Us  float64 `json:"p999_us"`
	P9999Us float64 `json:"p9999_us"`
	MaxUs   float64 `json:"max_us"`
}

// NewTimes takes them from a histogram of nanoseconds.
func NewTimes(h *hdrhistogram.Histogram) Times {
	us := func(ns int64) float64 { return round(float64(ns) / 1e3) }
	at := func(q float64) float64 { return us(h.ValueAtQuantile(q)) }
	return Times{Count: h.TotalCount(), MinUs: us(h.Min()), P50Us: at(50), P90Us: at(90), P99Us: at(99), P999Us: at(99.9),
		P9999Us: at(99.99), MaxUs: us(h.Max())}
}

// SetFloor sets the floor of the same run and the ratio to it.
func (r *Row) SetFloor(p50Us float64) {
	r.FloorP50Us = p50Us
	if p50Us > 0 {
		r.RatioP50 = math.Round(r.P50Us/p50Us*1000) / 1000
	}
}

// Write judges the row, and writes it as one compact JSON line.
func (r *Row) Write(w io.Writer) error {
	r.Judge()
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// round keeps a tenth of a nanosecond's worth of microseconds out of the output.
func round(us float64) float64 { return math.Round(us*1000) / 1000 }
