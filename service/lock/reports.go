package lock

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/lock/fb"
	"lockstep/wire/flat"
)

// The encoders below reset and reuse the builder, so what they return is good until its next use.

// encodeHolder encodes a hold, with its value or without; 0 for none.
func encodeHolder(b *flatbuffers.Builder, h *hold, value bool) flatbuffers.UOffsetT {
	if h == nil {
		return 0
	}
	v := flatbuffers.UOffsetT(0)
	if value {
		v = b.CreateByteVector(h.value)
	}
	fb.HolderStart(b)
	fb.HolderAddToken(b, h.token)
	fb.HolderAddSession(b, uint64(h.session))
	fb.HolderAddExpires(b, h.expires)
	fb.HolderAddValue(b, v)
	fb.HolderAddKeep(b, h.keep)
	return fb.HolderEnd(b)
}

func encodeGranted(b *flatbuffers.Builder, name []byte, h *hold, waited uint64) []byte {
	b.Reset()
	n := b.CreateByteVector(name)
	fb.GrantedStart(b)
	fb.GrantedAddToken(b, h.token)
	fb.GrantedAddExpires(b, h.expires)
	fb.GrantedAddWaited(b, waited)
	fb.GrantedAddName(b, n)
	return flat.Finish(b, byte(Granted), fb.GrantedEnd(b))
}

func encodeWaiting(b *flatbuffers.Builder, token uint64, ahead int, holder *hold) []byte {
	b.Reset()
	h := encodeHolder(b, holder, true)
	fb.WaitingStart(b)
	fb.WaitingAddToken(b, token)
	fb.WaitingAddAhead(b, uint32(ahead))
	fb.WaitingAddHolder(b, h)
	return flat.Finish(b, byte(Waiting), fb.WaitingEnd(b))
}

func encodeRenewed(b *flatbuffers.Builder, expires uint64) []byte {
	b.Reset()
	fb.RenewedStart(b)
	fb.RenewedAddExpires(b, expires)
	return flat.Finish(b, byte(Renewed), fb.RenewedEnd(b))
}

func encodeDone(b *flatbuffers.Builder) []byte {
	b.Reset()
	fb.DoneStart(b)
	return flat.Finish(b, byte(Done), fb.DoneEnd(b))
}

func encodeSubscribed(b *flatbuffers.Builder, on bool, sequence uint64) []byte {
	b.Reset()
	fb.SubscribedStart(b)
	fb.SubscribedAddSequence(b, sequence)
	fb.SubscribedAddOn(b, on)
	return flat.Finish(b, byte(Subscribed), fb.SubscribedEnd(b))
}

func encodeRefused(b *flatbuffers.Builder, reason Reason, name []byte, waited uint64, holder *hold) []byte {
	b.Reset()
	n := b.CreateByteVector(name)
	h := encodeHolder(b, holder, true)
	fb.RefusedStart(b)
	fb.RefusedAddWaited(b, waited)
	fb.RefusedAddName(b, n)
	fb.RefusedAddHolder(b, h)
	fb.RefusedAddReason(b, reason)
	return flat.Finish(b, byte(Refused), fb.RefusedEnd(b))
}

func encodeChanged(b *flatbuffers.Builder, name []byte, change Change, h *hold, value bool) []byte {
	b.Reset()
	n := b.CreateByteVector(name)
	holder := encodeHolder(b, h, value)
	fb.ChangedStart(b)
	fb.ChangedAddName(b, n)
	fb.ChangedAddHolder(b, holder)
	fb.ChangedAddChange(b, change)
	fb.ChangedAddAnnouncement(b, h.kind == announcement)
	fb.ChangedAddLeftOut(b, !value)
	return flat.Finish(b, byte(Changed), fb.ChangedEnd(b))
}

// encodeState encodes what a name stands for; the announcements listed are in the builder already.
func encodeState(b *flatbuffers.Builder, l *lock, holder *hold, list []flatbuffers.UOffsetT, more bool) []byte {
	announcements := flat.PutVector(b, list)
	h := encodeHolder(b, holder, true)
	fb.StateStart(b)
	fb.StateAddHolder(b, h)
	fb.StateAddWaiting(b, uint32(l.waiting.count))
	fb.StateAddAnnounced(b, uint32(l.announced.count))
	fb.StateAddAnnouncements(b, announcements)
	fb.StateAddMore(b, more)
	return flat.Finish(b, byte(State), fb.StateEnd(b))
}

// encodeName encodes one name of a list, into a builder that was reset before the first.
func encodeName(b *flatbuffers.Builder, l *lock, holder *hold) flatbuffers.UOffsetT {
	name := b.CreateByteVector(l.name)
	h := encodeHolder(b, holder, true)
	fb.NameStart(b)
	fb.NameAddName(b, name)
	fb.NameAddHolder(b, h)
	fb.NameAddWaiting(b, uint32(l.waiting.count))
	fb.NameAddAnnounced(b, uint32(l.announced.count))
	return fb.NameEnd(b)
}

func encodeNames(b *flatbuffers.Builder, list []flatbuffers.UOffsetT, more bool) []byte {
	names := flat.PutVector(b, list)
	fb.NamesStart(b)
	fb.NamesAddNames(b, names)
	fb.NamesAddMore(b, more)
	return flat.Finish(b, byte(Names), fb.NamesEnd(b))
}
