package wire

import "lockstep/wire/fb"

// Fragment says which part of a payload that fits no datagram a message or an answer carries.
type Fragment struct {
	Total  uint32 // bytes of the whole payload
	Offset uint32 // of the part's first byte in it
}

// Ends says whether a part of so many bytes is the last one.
func (f *Fragment) Ends(bytes int) bool { return uint64(f.Offset)+uint64(bytes) == uint64(f.Total) }

// MessageFragmentRoom is how many bytes of a payload a fragment of a message holds that has so much of a datagram;
// zero or less when it has room for none.
func MessageFragmentRoom(room int) int { return room&^7 - MessageHeaderSize - FragmentHeaderSize }

// AnswerFragmentRoom is the same for a fragment of a response.
func AnswerFragmentRoom(room int) int { return room&^7 - AnswerHeaderSize - FragmentHeaderSize }

// put writes the header that stands before a fragment's bytes.
func (f *Fragment) put(b []byte) {
	var w fb.FragmentHeader
	w.Init(b[:FragmentHeaderSize], 0)
	w.MutateTotal(f.Total)
	w.MutateOffset(f.Offset)
}

// next reads the header at the start of b and returns the fragment's bytes: false unless there is one at least, and all
// of them lie within the whole.
func (f *Fragment) next(b []byte) (bytes []byte, ok bool) {
	if len(b) <= FragmentHeaderSize {
		return nil, false
	}
	var w fb.FragmentHeader
	w.Init(b, 0)
	f.Total, f.Offset = w.Total(), w.Offset()
	bytes = b[FragmentHeaderSize:]
	return bytes, uint64(f.Offset)+uint64(len(bytes)) <= uint64(f.Total)
}
