package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"

	"lockstep/internal/simbug"
	"lockstep/internal/vfs"
	"lockstep/wire"
)

// ErrVote says that a vote would break a promise, or that no copy of it can be read: such a node must not vote.
var ErrVote = errors.New("journal: vote")

// voteCopies is how many copies the vote file holds, a block each.
const voteCopies = 2

// VoteFile is the term and vote of a node: file "vote", two copies that are written and synced one after the other, so
// that a power cut spoils one at most. It has one owner.
//
//	off size     (of each copy)
//	 16    4 term
//	 20    4 node id that was voted for in that term, 0 for none
type VoteFile struct {
	file  vfs.File
	name  string
	block []byte // aligned
	term  wire.Term
	voted wire.NodeID
}

func putVote(b []byte, term wire.Term, voted wire.NodeID) {
	clear(b[:vfs.BlockBytes])
	binary.LittleEndian.PutUint32(b[16:], uint32(term))
	binary.LittleEndian.PutUint32(b[20:], uint32(voted))
	sealBlock(b, magicVote)
}

func voteBlocks() []byte {
	b := vfs.AlignedBytes(voteCopies * vfs.BlockBytes)
	for i := range voteCopies {
		putVote(b[i*vfs.BlockBytes:], 0, 0)
	}
	return b
}

// OpenVote opens the vote file of dir and brings its copies in line: if they differ, the higher, once both are
// rewritten. None valid: ErrVote.
func OpenVote(fs vfs.FS, dir string) (*VoteFile, error) {
	v := &VoteFile{name: path.Join(dir, "vote"), block: vfs.AlignedBytes(vfs.BlockBytes)}
	var err error
	if v.file, err = fs.OpenFile(v.name, vfs.Write); err != nil {
		return nil, fmt.Errorf("journal: open vote: %w", err)
	}
	if err := v.load(); err != nil {
		return nil, errors.Join(err, v.file.Close())
	}
	return v, nil
}

func (v *VoteFile) load() error {
	var term [voteCopies]wire.Term
	var voted [voteCopies]wire.NodeID
	var valid [voteCopies]bool
	for i := range voteCopies {
		if _, err := v.file.ReadAt(v.block, int64(i)*vfs.BlockBytes); err != nil {
			continue // a copy that cannot be read is no copy
		}
		if checkBlock(v.block, magicVote) == blockValid {
			valid[i] = true
			term[i] = wire.Term(binary.LittleEndian.Uint32(v.block[16:]))
			voted[i] = wire.NodeID(binary.LittleEndian.Uint32(v.block[20:]))
		}
	}
	if !valid[0] && !valid[1] {
		return fmt.Errorf("%w: %s: neither copy is valid: this node must not vote; reseed it", ErrVote, v.name)
	}
	same := valid[0] && valid[1] && term[0] == term[1]
	if same && voted[0] != voted[1] && voted[0] != 0 && voted[1] != 0 {
		return fmt.Errorf("%w: %s: copies hold votes for nodes %d and %d in term %d: this node must not vote; reseed it",
			ErrVote, v.name, voted[0], voted[1], term[0])
	}
	higher := 0
	if !valid[0] || valid[1] && (term[1] > term[0] || same && voted[1] > voted[0]) {
		higher = 1
	}
	v.term, v.voted = term[higher], voted[higher]
	// Rewritten even if they are equal: after a process died in between, what was read may not be on the disk yet.
	return v.write()
}

// Load returns the stored term and the node voted for in it, 0 for none.
func (v *VoteFile) Load() (wire.Term, wire.NodeID) { return v.term, v.voted }

// Store makes term and vote durable: when it returns nil both copies are synced. It refuses, with ErrVote, to go back
// in term or to change a vote within one. Any other error is final: whether the vote is stored is not known.
func (v *VoteFile) Store(term wire.Term, voted wire.NodeID) error {
	if term < v.term || term == v.term && v.voted != 0 && voted != v.voted {
		return fmt.Errorf("%w: term %d, node %d after term %d, node %d", ErrVote, term, voted, v.term, v.voted)
	}
	v.term, v.voted = term, voted
	if simbug.On(simbug.ForgetVote) {
		return nil
	}
	return v.write()
}

func (v *VoteFile) write() error {
	putVote(v.block, v.term, v.voted)
	for i := range int64(voteCopies) {
		if simbug.On(simbug.VoteOneCopy) && i > 0 {
			break
		}
		if _, err := v.file.WriteAt(v.block, i*vfs.BlockBytes); err != nil {
			return fmt.Errorf("journal: write %s at offset %d: %w", v.name, i*vfs.BlockBytes, err)
		}
		if err := v.file.Sync(); err != nil {
			return fmt.Errorf("journal: sync %s: %w", v.name, err)
		}
	}
	return nil
}

// Close closes the file.
func (v *VoteFile) Close() error { return v.file.Close() }
