package queue

import (
	"unicode/utf8"

	"lockstep/service/queue/fb"
)

// refusal is why a request cannot be carried out, ReasonNone if it can: then nothing of it fails.
func (s *Service) refusal(q *Request, now uint64) fb.Reason {
	if q.Kind == List {
		return s.refuseCount(q)
	}
	if !validName(q.Queue) {
		return fb.ReasonBadName
	}
	i := s.find(q.Queue)
	switch q.Kind {
	case Put:
		return s.refusePut(q, i, now)
	case Lease:
		return s.refuseLease(q, i)
	case Configure:
		return s.refuseConfigure(q, i)
	}
	if i == 0 {
		return fb.ReasonUnknownQueue
	}
	switch q.Kind {
	case Extend, Delete, Release:
		return s.refuseMessage(q, i)
	case Remove:
		if x := &s.queues[i]; x.ready.Len+x.aside.Len+x.waiters.Len+x.keys.Len > 0 || x.feeds > 0 || x.elsewhere > 0 {
			return fb.ReasonInUse
		}
	case Peek:
		return s.refuseCount(q)
	}
	return fb.ReasonNone
}

// validName says whether a queue may have a name.
func validName(name []byte) bool {
	if len(name) == 0 || len(name) > MaxName || !utf8.Valid(name) {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func (s *Service) refuseCount(q *Request) fb.Reason {
	if q.Max > MaxBatch {
		return fb.ReasonBadCount
	}
	return fb.ReasonNone
}

func (s *Service) refusePut(q *Request, i uint32, now uint64) fb.Reason {
	k := uint32(0)
	if i != 0 && len(q.Key) > 0 && len(q.Key) <= MaxKey {
		k = s.findKey(i, q.Key)
	}
	switch {
	case len(q.Key) > MaxKey:
		return fb.ReasonBadKey
	case len(q.Payload) > s.options.Payload:
		return fb.ReasonBadPayload
	case q.DelayMs > MaxTimeMs || q.DeadlineMs > MaxTimeMs:
		return fb.ReasonBadTime
	case i == 0 && s.queuePool.Free() == 0:
		return fb.ReasonTooManyQueues
	case k != 0 && s.keys[k].until > now:
		return fb.ReasonNone
	case s.messagePool.Free() == 0:
		return fb.ReasonTooManyMessages
	case (len(q.Payload)+blockBytes-1)/blockBytes > s.blockPool.Free():
		return fb.ReasonTooManyBytes
	case len(q.Key) > 0 && k == 0 && s.keyPool.Free() == 0:
		return fb.ReasonTooManyKeys
	}
	return fb.ReasonNone
}

func (s *Service) refuseLease(q *Request, i uint32) fb.Reason {
	switch {
	case q.Mode > fb.ModeAtMostOnce:
		return fb.ReasonBadMode
	case q.Max > MaxBatch:
		return fb.ReasonBadCount
	case q.LeaseMs > MaxLeaseMs || q.WaitMs > MaxLeaseMs:
		return fb.ReasonBadTime
	case i == 0 && s.queuePool.Free() == 0:
		return fb.ReasonTooManyQueues
	case q.WaitMs > 0 && s.waiterPool.Free() == 0 && (i == 0 || s.queues[i].ready.Len == 0):
		return fb.ReasonTooManyWaiters
	}
	return fb.ReasonNone
}

func (s *Service) refuseMessage(q *Request, i uint32) fb.Reason {
	at := s.byID.Find(hashNumber(q.ID))
	switch {
	case at == 0 || s.messages[at].queue != i:
		return fb.ReasonUnknownMessage
	case s.messages[at].token != q.Token || q.Token == 0 && q.Kind != Delete:
		return fb.ReasonStaleLease
	case q.LeaseMs > MaxLeaseMs || q.DelayMs > MaxTimeMs:
		return fb.ReasonBadTime
	}
	return fb.ReasonNone
}

func (s *Service) refuseConfigure(q *Request, i uint32) fb.Reason {
	wanted := 0
	if i == 0 {
		wanted++
	}
	if len(q.DeadLetter) > 0 {
		if !validName(q.DeadLetter) {
			return fb.ReasonBadName
		}
		if string(q.DeadLetter) == string(q.Queue) {
			return fb.ReasonBadDeadLetter
		}
		if s.find(q.DeadLetter) == 0 {
			wanted++
		}
	}
	switch {
	case q.LeaseMs > MaxLeaseMs || q.DedupMs > MaxTimeMs:
		return fb.ReasonBadTime
	case wanted > s.queuePool.Free():
		return fb.ReasonTooManyQueues
	}
	return fb.ReasonNone
}
