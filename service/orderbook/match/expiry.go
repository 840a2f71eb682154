package match

// expiries is a heap of the GTD orders, the earliest first.
type expiries struct{ heap []uint32 }

func (e *Engine) earlier(i, j uint32) bool {
	a, b := e.orders.rest[i].expire, e.orders.rest[j].expire
	return a < b || a == b && e.orders.at[i].number < e.orders.at[j].number
}

// setExpiry puts an order into the heap, or where it belongs now that its number is another.
func (e *Engine) setExpiry(i uint32) {
	o := &e.orders.rest[i]
	if o.heap == 0 {
		e.expiries.heap = append(e.expiries.heap, i)
		o.heap = uint32(len(e.expiries.heap))
	}
	e.settleExpiry(int(o.heap - 1))
}

func (e *Engine) clearExpiry(i uint32) {
	h := e.expiries.heap
	at, last := int(e.orders.rest[i].heap-1), len(h)-1
	e.orders.rest[i].heap = 0
	moved := h[last]
	e.expiries.heap = h[:last]
	if at != last {
		h[at] = moved
		e.settleExpiry(at)
	}
}

// settleExpiry moves an order to where it belongs in the heap.
func (e *Engine) settleExpiry(at int) {
	h := e.expiries.heap
	i := h[at]
	for at > 0 && e.earlier(i, h[(at-1)/2]) {
		h[at] = h[(at-1)/2]
		e.orders.rest[h[at]].heap = uint32(at + 1)
		at = (at - 1) / 2
	}
	for {
		child := 2*at + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && e.earlier(h[child+1], h[child]) {
			child++
		}
		if e.earlier(i, h[child]) {
			break
		}
		h[at] = h[child]
		e.orders.rest[h[at]].heap = uint32(at + 1)
		at = child
	}
	h[at] = i
	e.orders.rest[i].heap = uint32(at + 1)
}

// NextExpiry is the earliest Expire of all open orders.
func (e *Engine) NextExpiry() (atNs uint64, ok bool) {
	if len(e.expiries.heap) == 0 {
		return 0, false
	}
	return e.orders.rest[e.expiries.heap[0]].expire, true
}

// Expire cancels GTD orders whose Expire is at or before nowNs, by (Expire, order number), at most budget of them, and
// returns how many.
func (e *Engine) Expire(nowNs uint64, budget int) int {
	for n := range budget {
		at, ok := e.NextExpiry()
		if !ok || at > nowNs {
			return n
		}
		e.cancelWhole(e.expiries.heap[0], Expired)
	}
	return max(budget, 0)
}
