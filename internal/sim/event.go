package sim

// eventKind says what is due.
type eventKind uint8

const (
	eventPacket eventKind = iota // a packet arrives
	eventAgent                   // an agent has its turn
	eventClient                  // a client is polled
	eventFault                   // the nemesis strikes, or ends what it began
	eventStart                   // a node is started
)

// event is something due at a time. Who and what: node, agent or client numbers.
type event struct {
	atNs   int64
	order  uint64 // ties are broken by the order in which events were made
	kind   eventKind
	who    int32
	what   int32
	epoch  uint32 // of the process, for agents: one of an earlier process is void
	packet *packet
	run    func()
}

func (e *event) before(o *event) bool {
	return e.atNs < o.atNs || e.atNs == o.atNs && e.order < o.order
}

// queue is a binary heap of events.
type queue struct {
	heap []event
	made uint64
}

func (q *queue) push(e event) {
	q.made++
	e.order = q.made
	q.heap = append(q.heap, e)
	for i := len(q.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.heap[i].before(&q.heap[parent]) {
			return
		}
		q.heap[i], q.heap[parent] = q.heap[parent], q.heap[i]
		i = parent
	}
}

func (q *queue) pop() event {
	top := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = event{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if q.heap[child].before(&q.heap[least]) {
				least = child
			}
		}
		if least == i {
			return top
		}
		q.heap[i], q.heap[least] = q.heap[least], q.heap[i]
		i = least
	}
}
