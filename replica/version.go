package replica

// Behaviour versions. Rule 15 of docs/consensus.md.

// raiseVersion (leader) has a config record appended that puts a higher behaviour version in force, once every voter has
// said that its build has it.
func (c *Core) raiseVersion() {
	s := &c.s
	last := s.configs.last()
	if last == nil || last.End > s.commit || s.lead.countFrom == 0 || s.lead.asked || s.lead.target != 0 {
		return
	}
	version := c.o.Version
	for _, n := range c.o.Voters {
		p := &s.peers[n]
		switch {
		case n == s.self.Node:
		case !p.counted:
			return
		default:
			version = min(version, p.version)
		}
	}
	if version <= last.Config.Version {
		return
	}
	s.lead.asked = true
	out := c.emit(OutAppendConfig)
	out.Config = last.Config
	out.Config.ByOperator, out.Config.Version = false, version
}

// versionInForce is the behaviour version that the newest config record in the log names.
func (c *Core) versionInForce() uint32 {
	if last := c.s.configs.last(); last != nil {
		return last.Config.Version
	}
	return FirstVersion
}
