package client

// timers is a binary heap of clients, the one that is due first on top.
type timers struct{ heap []timer }

// timer has the time beside the client, so that comparing touches no client.
type timer struct {
	dueNs  int64
	client *Client
}

func (t *timers) len() int { return len(t.heap) }

func (t *timers) first() *Client { return t.heap[0].client }

// push adds a client.
func (t *timers) push(c *Client, dueNs int64) {
	t.heap = append(t.heap, timer{})
	t.up(len(t.heap)-1, timer{dueNs, c})
}

// move changes when a client is due.
func (t *timers) move(c *Client, dueNs int64) {
	if dueNs < c.place.dueNs {
		t.up(c.place.index, timer{dueNs, c})
	} else {
		t.down(c.place.index, timer{dueNs, c})
	}
}

// remove takes a client out.
func (t *timers) remove(c *Client) {
	i, n := c.place.index, len(t.heap)-1
	last := t.heap[n]
	t.heap[n] = timer{}
	t.heap = t.heap[:n]
	if i == n {
		return
	}
	if last.dueNs < c.place.dueNs {
		t.up(i, last)
	} else {
		t.down(i, last)
	}
}

// up finds the place of x, from the hole at i towards the top.
func (t *timers) up(i int, x timer) {
	for i > 0 {
		parent := (i - 1) / 2
		if t.heap[parent].dueNs <= x.dueNs {
			break
		}
		t.put(i, t.heap[parent])
		i = parent
	}
	t.put(i, x)
}

// down finds the place of x, from the hole at i away from the top.
func (t *timers) down(i int, x timer) {
	for {
		child := 2*i + 1
		if child >= len(t.heap) {
			break
		}
		if other := child + 1; other < len(t.heap) && t.heap[other].dueNs < t.heap[child].dueNs {
			child = other
		}
		if x.dueNs <= t.heap[child].dueNs {
			break
		}
		t.put(i, t.heap[child])
		i = child
	}
	t.put(i, x)
}

func (t *timers) put(i int, x timer) {
	t.heap[i] = x
	x.client.place.index, x.client.place.dueNs = i, x.dueNs
}
