package orderbook

import (
	"slices"

	"lockstep/service"
	"lockstep/service/orderbook/match"
	"lockstep/wire"
)

// ownAccount marks the account of a session that has not logged in: it is made of the session's id.
const ownAccount match.Account = 1 << 63

// OwnAccount is the account of a session that has not logged in.
func OwnAccount(session wire.SessionID) match.Account { return match.Account(session) | ownAccount }

// party is a session, and the account that it acts for. Reports for the account go to the session that was bound to
// it last.
type party struct {
	session wire.SessionID // 0: free
	account match.Account
	stay    bool // the orders stay when the session ends
	bound   bool // reports for the account go to it
}

func (p *party) hash() uint64 {
	flags := uint64(0)
	if p.stay {
		flags = 1
	}
	if p.bound {
		flags |= 2
	}
	return service.Mix(service.Mix(service.Mix(0, uint64(p.session)), uint64(p.account)), flags)
}

// parties are all sessions, found by their id and by the account that they are bound to.
type parties struct {
	list      []party
	free      []uint32
	bySession numbers
	byAccount numbers // those that are bound
	sum       uint64  // of the hashes of all
}

func newParties() parties {
	const room = 1024 // before memory is taken again
	return parties{list: make([]party, 0, room), free: make([]uint32, 0, room), bySession: newNumbers(room),
		byAccount: newNumbers(room)}
}

// of is the party that a session is, made if there is none.
func (t *parties) of(session wire.SessionID) *party {
	if i, ok := t.bySession.get(uint64(session)); ok {
		return &t.list[i]
	}
	return t.add(party{session: session})
}

// add takes in a session that is not there.
func (t *parties) add(p party) *party {
	i := uint32(len(t.list))
	if n := len(t.free); n > 0 {
		i, t.free = t.free[n-1], t.free[:n-1]
	} else {
		t.list = append(t.list, party{})
	}
	t.bySession.put(uint64(p.session), i)
	t.list[i] = p
	if p.bound {
		t.byAccount.put(uint64(p.account), i)
	}
	t.sum += p.hash()
	return &t.list[i]
}

// bind has a session act for an account, and be told what becomes of its orders, in place of the session that was (0:
// none).
func (t *parties) bind(p *party, account match.Account, stay bool) (before wire.SessionID) {
	t.unbind(p)
	if i, ok := t.byAccount.get(uint64(account)); ok {
		before = t.list[i].session
		t.unbind(&t.list[i])
	}
	t.sum -= p.hash()
	p.account, p.stay, p.bound = account, stay, true
	t.sum += p.hash()
	i, _ := t.bySession.get(uint64(p.session))
	t.byAccount.put(uint64(account), i)
	return before
}

// unbind has a session act for no account.
func (t *parties) unbind(p *party) {
	t.sum -= p.hash()
	if p.bound {
		t.byAccount.remove(uint64(p.account))
	}
	p.account, p.stay, p.bound = 0, false, false
	t.sum += p.hash()
}

// session is who is told what becomes of an account's orders; 0: nobody.
func (t *parties) session(account match.Account) wire.SessionID {
	if i, ok := t.byAccount.get(uint64(account)); ok {
		return t.list[i].session
	}
	return 0
}

// remove forgets a session that is not bound.
func (t *parties) remove(p *party) {
	t.sum -= p.hash()
	i, _ := t.bySession.get(uint64(p.session))
	t.bySession.remove(uint64(p.session))
	*p = party{}
	t.free = append(t.free, i)
}

func (t *parties) count() int { return t.bySession.used }

// sorted are all parties by ascending session.
func (t *parties) sorted() []party {
	all := make([]party, 0, t.count())
	for i := range t.list {
		if t.list[i].session != 0 {
			all = append(all, t.list[i])
		}
	}
	slices.SortFunc(all, func(a, b party) int {
		if a.session < b.session {
			return -1
		}
		return 1
	})
	return all
}
