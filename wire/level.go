package wire

// Level is a guarantee level: what an acknowledgement says about a message. Each level includes those below it.
type Level uint8

// The guarantee levels, lowest first.
const (
	LevelNone       Level = iota // no acknowledgement
	LevelReceived                // the leader accepted it in order
	LevelSequenced               // position, sequence and timestamp in the leader's log
	LevelReplicated              // a majority holds it in memory
	LevelDurable                 // a majority has synced it to disk
	LevelApplied                 // the service has processed it; carries its response

	NumLevels = 6
)

var levelNames = [NumLevels]string{"none", "received", "sequenced", "replicated", "durable", "applied"}

// String is the level's name as docs and command lines spell it.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return "unknown level"
}

// ParseLevel reads a level's name; ok is false when there is no such level.
func ParseLevel(name string) (l Level, ok bool) {
	for i, n := range levelNames {
		if n == name {
			return Level(i), true
		}
	}
	return LevelNone, false
}

// Levels is a set of levels: bit 1<<Level for each. LevelNone has no bit: the empty set asks for no acknowledgement.
type Levels uint8

// levelsMask holds every bit that a set may have.
const levelsMask = Levels(1<<NumLevels-1) &^ 1

// LevelsOf makes a set. LevelNone adds nothing.
func LevelsOf(levels ...Level) Levels {
	var s Levels
	for _, l := range levels {
		s |= 1 << l
	}
	return s & levelsMask
}

// Has says whether l is in the set.
func (s Levels) Has(l Level) bool { return s&levelsMask&(1<<l) != 0 }

// Valid says whether the set holds levels that exist, and no other bit.
func (s Levels) Valid() bool { return s&^levelsMask == 0 }

// CommitRule says what a majority must have done before a record counts as committed.
type CommitRule uint8

// The commit rules. The rule stands in the log's config record.
const (
	RuleDurable    CommitRule = 1 // synced it to disk
	RuleReplicated CommitRule = 2 // holds it in memory
)

// String is the rule's name as the config file spells it.
func (r CommitRule) String() string {
	switch r {
	case RuleDurable:
		return "durable"
	case RuleReplicated:
		return "replicated"
	}
	return "unknown rule"
}

// Valid says whether the rule is one that exists.
func (r CommitRule) Valid() bool { return r == RuleDurable || r == RuleReplicated }
