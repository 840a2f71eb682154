package command

import (
	"fmt"

	"lockstep/internal/replay"
	"lockstep/internal/vfs"
	"lockstep/wire"
)

// replay applies a node's journal once more, without any node, up to where all had the same state, and wants that
// state.
func (d *demo) replay() error {
	at := wire.Position(d.at)
	p, err := replay.New(replay.Options{FS: vfs.Real{}, Dir: d.lab.Nodes()[0].Dir, End: at, FromStart: true,
		Services: productionServices})
	if err != nil {
		return err
	}
	defer p.Close()
	state, err := p.Apply(at)
	if err != nil {
		return err
	}
	if hash := fmt.Sprintf("%016x", state.Hash); state.Position != at || hash != d.hash {
		return fmt.Errorf("node 1's journal, replayed to position %d, makes a book with the hash %s: the nodes' had %s",
			state.Position,
			hash, d.hash)
	}
	fmt.Fprintf(d.out, "node 1's journal, replayed offline, makes a book with the same hash %s\n", d.hash)
	return nil
}
