package journal

import (
	"errors"

	"lockstep/wire"
)

// ErrBase says that the log and the snapshot that Options.Base describes are not of one piece: the log begins behind it,
// or holds other records there. Nothing on the disk was changed; an older snapshot may fit.
var ErrBase = errors.New("journal: the log does not fit the snapshot")

// Base is the place of a snapshot in the log, and what the log before it says: opening reads only what follows.
type Base struct {
	Chain       wire.Chain       // the snapshot's position and the record that ends there
	Terms       []wire.TermStart // where each leadership's records begin up to there, oldest first
	Configs     []wire.ConfigAt  // the config records up to there, oldest first: the newest MaxConfigs of them
	MoreConfigs bool             // there are older ones
}
