package service

import "lockstep/wire"

// ChainedHash is the chained hash over (position, outputs) as it stands.
func (d *Driver) ChainedHash() uint64 { return d.hash }

// SetHints has a driver that has applied nothing begin with the skip records of an opened log.
func (d *Driver) SetHints(hints ...wire.SkipAt) { d.ahead.begin(hints, nil, 0) }
