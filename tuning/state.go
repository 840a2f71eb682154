package tuning

import (
	"fmt"
	"strings"
)

// State is the verdict on one item.
type State uint8

// The verdicts.
const (
	OK           State = iota // as wanted
	Differs                   // not as wanted: it costs latency or safety
	Unsupported               // this kernel or machine does not have it, or it cannot be read: Current says which
	Immovable                 // not as wanted, and the kernel refuses to change it
	NeedsReboot               // not as wanted, and only the kernel command line or the firmware changes it
	NoPermission              // may not be read, or is not as wanted and may not be written, by this process
)

var stateNames = [...]string{"ok", "differs", "unsupported", "immovable", "needs reboot", "no permission"}

// String names a state.
func (s State) String() string { return stateNames[s] }

// MarshalText is the name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the state of a name.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("tuning: state %q: want one of %s", text, strings.Join(stateNames[:], ", "))
}

// Wrong says whether a state counts against a host.
func (s State) Wrong() bool { return s != OK && s != Unsupported }

// Profile is what a host is for.
type Profile uint8

// The profiles. Any voter may become the leader: Leader is the profile of all of them.
const (
	Leader   Profile = iota // a voter on bare metal with cores of its own
	Follower                // a node that only follows: as Leader, without what only the leader's threads need
	Client                  // a host of clients: no journal, no disk
	Lab                     // a machine that is shared, or in the cloud: nothing that takes cores or memory from others
)

var profileNames = [...]string{"leader", "follower", "client", "lab"}

// String names a profile.
func (p Profile) String() string { return profileNames[p] }

// MarshalText is the name.
func (p Profile) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParseProfile.
func (p *Profile) UnmarshalText(text []byte) (err error) {
	*p, err = ParseProfile(string(text))
	return err
}

// ParseProfile is the profile of a name.
func ParseProfile(name string) (Profile, error) {
	for i, n := range profileNames {
		if n == name {
			return Profile(i), nil
		}
	}
	return 0, fmt.Errorf("profile %q: want one of %s", name, strings.Join(profileNames[:], ", "))
}

// Profiles is a set of profiles.
type Profiles uint8

// Sets that items are for.
const (
	everywhere = Profiles(1<<Leader | 1<<Follower | 1<<Client | 1<<Lab)
	bareMetal  = Profiles(1<<Leader | 1<<Follower | 1<<Client)
	nodes      = Profiles(1<<Leader | 1<<Follower | 1<<Lab)
	servers    = Profiles(1<<Leader | 1<<Follower)
)

// Has says whether p is in the set.
func (s Profiles) Has(p Profile) bool { return s&(1<<p) != 0 }

// Target says what the check is for: the profile, and the node's or client's interface, directory and cores. Without one
// of the latter the items that need it are Unsupported.
type Target struct {
	Profile   Profile
	Interface string // data interface
	Dir       string // node directory
	Cores     []int  // cores of hot threads
}
