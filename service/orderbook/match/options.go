package match

import (
	"errors"
	"fmt"
)

// ErrOptions says that the options cannot work.
var ErrOptions = errors.New("match: unusable options")

// Bounds of options.
const (
	maxInstruments = 1 << 14 // one call may change the state of all: an event each
	maxOrders      = 1 << 22
	maxAccounts    = 1 << 20
	maxFills       = 3500
	maxElections   = 256
	maxJoining     = 4096 // stops that join the queue of the elected in one call
	maxRate        = 1_000_000_000
)

func (o *Options) defaults() {
	if o.Instruments == 0 {
		o.Instruments = 16
	}
	if o.MaxInstruments == 0 {
		o.MaxInstruments = max(4096, o.Instruments)
	}
	if o.PriceLimit == 0 {
		o.PriceLimit = 65535
	}
	if o.MaxQuantity == 0 {
		o.MaxQuantity = 1 << 32
	}
	if o.MaxOrders == 0 {
		o.MaxOrders = 1 << 17
	}
	if o.MaxAccounts == 0 {
		o.MaxAccounts = 1 << 14
	}
	if o.MaxOpen == 0 {
		o.MaxOpen = 1024
	}
	if o.MaxFills == 0 {
		o.MaxFills = 1024
	}
	if o.MaxElections == 0 {
		o.MaxElections = maxElections
	}
}

func (o *Options) check() error {
	for _, x := range []struct {
		name       string
		value, max uint64
	}{
		{"Instruments", uint64(o.Instruments), uint64(o.MaxInstruments)},
		{"MaxInstruments", uint64(o.MaxInstruments), maxInstruments},
		{"PriceLimit", uint64(o.PriceLimit), MaxPrice},
		{"MaxQuantity", o.MaxQuantity, MaxQuantity},
		{"MaxOrders", uint64(o.MaxOrders), maxOrders},
		{"MaxAccounts", uint64(o.MaxAccounts), maxAccounts},
		{"MaxOpen", uint64(o.MaxOpen), MaxOpen},
		{"MaxFills", uint64(o.MaxFills), maxFills},
		{"MaxElections", uint64(o.MaxElections), maxElections},
	} {
		if x.value == 0 || x.value > x.max {
			return fmt.Errorf("%w: %s is %d: must be 1 .. %d", ErrOptions, x.name, x.value, x.max)
		}
	}
	return nil
}
