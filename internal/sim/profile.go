package sim

import (
	"math/rand/v2"
	"slices"
)

// Profile makes worlds in which some things happen much more often than in others.
type Profile uint8

// The profiles.
const (
	ProfileAny      Profile = iota // whatever is drawn
	ProfileUnrest                  // leaders come and go, sessions too, old packets come again
	ProfileDisk                    // disks fail, hang, are full, lose power
	ProfileBehind                  // followers fall behind what the rings hold
	ProfileStore                   // snapshots, retention, installs, and what may befall them
	ProfileServices                // commands for all services, and little else
	NumProfiles
)

// drawnProfiles are those of which the options of any world are drawn; ProfileStore has a source of chance of its own.
const drawnProfiles = 4

var profileNames = [NumProfiles]string{"any", "unrest", "disk", "behind", "store", "services"}

// String is the profile's name.
func (p Profile) String() string {
	if p < NumProfiles {
		return profileNames[p]
	}
	return "unknown profile"
}

// ParseProfile finds a profile by its name.
func ParseProfile(name string) (Profile, bool) {
	i := slices.Index(profileNames[:], name)
	return Profile(max(i, 0)), i >= 0
}

// as makes options of a profile.
func (o *Options) as(p Profile, r *rand.Rand) {
	o.Profile = p
	if p == ProfileAny {
		return
	}
	o.Nodes, o.Faults.EveryNs = max(o.Nodes, 3), pick[int64](r, 10e6, 30e6)
	only := func(faults ...int) {
		o.Faults.Kinds = 0
		for _, f := range faults {
			o.Faults.Kinds |= 1 << f
		}
	}
	switch p {
	case ProfileUnrest:
		only(faultPause, faultPartition, faultIsolate, faultDepose, faultHandOver, faultRaise, faultKill, faultStep)
		o.Nodes = pick(r, 3, 5, 5)
		o.TimeoutMinMs, o.TimeoutMaxMs, o.HeartbeatMs = 50, 100, 5
		o.Network.Replay = pick(r, 0.1, 0.4)
		o.Clients.Clients, o.Clients.Reconnect = 4, true
	case ProfileDisk:
		only(faultPower, faultPowerAtIO, faultHang, faultEIO, faultFull, faultRot, faultFinish)
		o.Clients.Payload, o.Clients.Burst, o.Clients.Messages = 1200, 40, 600
		o.Clients.PauseNs = max(o.SafetyNs/int64(o.Clients.Messages)*20, 1)
	case ProfileBehind:
		only(faultHang, faultPartition, faultIsolate, faultDepose, faultHandOver, faultPause)
		o.RingBytes, o.SegmentBytes, o.Clients.Window = 64<<10, 128<<10, 64
		o.Clients.Payload, o.Clients.Messages, o.Clients.Books, o.Clients.Burst = 1200, 600, 0, 8
		o.Clients.PauseNs = max(o.SafetyNs/int64(o.Clients.Messages)*4, 1)
	case ProfileStore:
		only(faultKill, faultPower, faultFinish, faultPause, faultHandOver, faultWipe, faultRot)
		o.Faults.EveryNs = 200e6
		o.RingBytes, o.SegmentBytes, o.Clients.Window = 64<<10, 128<<10, 64
		o.Clients.Payload, o.Clients.Messages, o.Clients.Books, o.Clients.Burst = 1200, 500, 0, 8
		o.Clients.Clients = 4
		o.Clients.PauseNs = max(o.SafetyNs/int64(o.Clients.Messages)*4, 1)
	case ProfileServices:
		only(faultKill, faultPower, faultPartition, faultHandOver, faultDepose)
		o.Faults.EveryNs = 200e6
		o.Clients.Clients, o.Clients.Messages, o.Clients.Window, o.Clients.Burst = 4, 300, 16, 4
		o.Clients.PauseNs = max(o.SafetyNs/int64(o.Clients.Messages)*4, 1)
	}
}
