package match

import "math/bits"

// account is what is known of an account.
type account struct {
	id       Account
	limits   Limits
	own      bool // limits are its own, not the default
	killed   bool
	open     uint32 // orders
	head     uint32 // of its list of open orders
	used     uint64 // of its bucket: 10^9 a message
	stamp    uint64 // when used was true
	idle     uint64 // ticket of when it became idle, 0: it is not
	nextIdle uint32
	prevIdle uint32
	hash     uint64
}

// accounts are all that are known. Those that are idle are in a list, the one that has been longest first.
type accounts struct {
	at       []account // [0] heads the list of those that are idle
	used     int
	table    []uint32 // open addressing: index, 0: free
	mask     uint32
	defaults Limits
}

func newAccounts(n int) accounts {
	size := 16
	for size < 2*n {
		size *= 2
	}
	return accounts{at: make([]account, n+1), table: make([]uint32, size), mask: uint32(size - 1)}
}

func (a *accounts) home(id Account) uint32 {
	return uint32(fold(uint64(id)^salts[4], salts[5])>>16) & a.mask
}

// find is the slot of an account, or the free one where it would go.
func (a *accounts) find(id Account) uint32 {
	slot := a.home(id)
	for a.table[slot] != 0 && a.at[a.table[slot]].id != id {
		slot = (slot + 1) & a.mask
	}
	return slot
}

// known returns the index of an account, 0 if it is not known.
func (a *accounts) known(id Account) uint32 { return a.table[a.find(id)] }

// room tells whether there is room for one more account, or one that is idle could be forgotten.
func (a *accounts) room() bool { return a.used < len(a.at)-1 || a.at[0].nextIdle != 0 }

// remove takes the account at a slot of the table out and closes the gap.
func (a *accounts) remove(gap uint32) {
	for slot := (gap + 1) & a.mask; a.table[slot] != 0; slot = (slot + 1) & a.mask {
		if home := a.home(a.at[a.table[slot]].id); (slot-home)&a.mask >= (slot-gap)&a.mask {
			a.table[gap] = a.table[slot]
			gap = slot
		}
	}
	a.table[gap] = 0
}

// know returns the index of an account, made if it is not known; 0 when there is no room. In place of another it
// forgets the one that has been idle longest.
func (e *Engine) know(id Account) uint32 {
	a := &e.accounts
	slot := a.find(id)
	if a.table[slot] != 0 {
		return a.table[slot]
	}
	var i uint32
	switch {
	case a.used < len(a.at)-1:
		a.used++
		i = uint32(a.used)
	case a.at[0].nextIdle != 0:
		i = a.at[0].nextIdle
		e.sum -= a.at[i].hash
		e.leaveIdle(i)
		a.remove(a.find(a.at[i].id))
		slot = a.find(id)
	default:
		return 0
	}
	a.table[slot] = i
	a.at[i] = account{id: id}
	e.settleAccount(i)
	return i
}

// settleAccount takes an account as it is now into the sum and into the list of those that are idle or out of it.
func (e *Engine) settleAccount(i uint32) {
	x := &e.accounts.at[i]
	idle := x.open == 0 && !x.own && !x.killed
	switch {
	case idle && x.idle == 0:
		e.tickets++
		x.idle = e.tickets
		e.joinIdle(i)
	case !idle && x.idle != 0:
		x.idle = 0
		e.leaveIdle(i)
	}
	e.sum -= x.hash
	h := fold(uint64(x.id)^salts[6], salts[7])
	h = mix(mix(h, x.used), x.stamp)
	h = mix(mix(h, x.idle), bit(x.own)|bit(x.killed)<<1)
	x.hash = x.limits.mixInto(h)
	e.sum += x.hash
}

func (l *Limits) mixInto(h uint64) uint64 {
	return mix(mix(h, l.MaxQuantity), uint64(l.MaxOpen)<<32|uint64(l.MessagesPerS))
}

func (e *Engine) joinIdle(i uint32) {
	at := e.accounts.at
	last := at[0].prevIdle
	at[i].prevIdle, at[i].nextIdle = last, 0
	at[last].nextIdle, at[0].prevIdle = i, i
}

func (e *Engine) leaveIdle(i uint32) {
	at := e.accounts.at
	x := &at[i]
	at[x.prevIdle].nextIdle = x.nextIdle
	at[x.nextIdle].prevIdle = x.prevIdle
}

// limits are what applies to an account; i is 0 for one that is not known.
func (e *Engine) limits(i uint32) *Limits {
	if x := &e.accounts.at[i]; i != 0 && x.own {
		return &x.limits
	}
	return &e.accounts.defaults
}

// maxOpen is how many open orders an account may have.
func (e *Engine) maxOpen(l *Limits) uint32 {
	if l.MaxOpen == 0 {
		return e.options.MaxOpen
	}
	return l.MaxOpen
}

// messageCost is what a message takes of a bucket; a bucket holds that much for each message of a second, and so many ns
// of it run out in a second.
const messageCost = 1_000_000_000

// bucket is what of an account's bucket is in use at a time.
func (x *account) bucket(nowNs uint64, rate uint32) uint64 {
	if rate == 0 || nowNs < x.stamp {
		return x.used
	}
	if high, low := bits.Mul64(nowNs-x.stamp, uint64(rate)); high == 0 && low < x.used {
		return x.used - low
	}
	return 0
}

// throttled tells whether a message of an account would be one too many.
func (e *Engine) throttled(nowNs uint64, i uint32) bool {
	rate := e.limits(i).MessagesPerS
	if rate == 0 || i == 0 {
		return false
	}
	return e.accounts.at[i].bucket(nowNs, rate)+messageCost > uint64(rate)*messageCost
}

// count takes a message of an account out of its bucket, unless it is one too many. Without a rate it forgets the bucket.
func (e *Engine) count(nowNs uint64, i uint32) bool {
	x := &e.accounts.at[i]
	rate := e.limits(i).MessagesPerS
	if rate == 0 {
		if x.used|x.stamp != 0 {
			x.used, x.stamp = 0, 0
			e.settleAccount(i)
		}
		return true
	}
	if e.throttled(nowNs, i) {
		return false
	}
	x.used = x.bucket(nowNs, rate) + messageCost
	x.stamp = max(x.stamp, nowNs)
	e.settleAccount(i)
	return true
}

// SetLimits sets the limits of an account, or the default limits (0).
func (e *Engine) SetLimits(id Account, l Limits) Reason {
	if !l.usable() {
		return BadQuantity
	}
	if id == 0 {
		e.accounts.defaults = l
		return None
	}
	i := e.know(id)
	if i == 0 {
		return TooManyAccounts
	}
	x := &e.accounts.at[i]
	x.limits, x.own = l, l != Limits{}
	e.settleAccount(i)
	return None
}
