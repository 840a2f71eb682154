package lab

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"lockstep/node"
)

// State is what a holder says about its lab.
type State struct {
	PID       int         `json:"pid"` // of the holder
	Since     time.Time   `json:"since"`
	Cluster   string      `json:"cluster"`
	Transport string      `json:"transport"`
	Rule      string      `json:"rule"`
	Dir       string      `json:"dir"`
	Binary    string      `json:"binary"`
	Nodes     []NodeState `json:"nodes"`
	Clients   []Place     `json:"clients"`
}

// Place is where a command can run.
type Place struct {
	Namespace string `json:"namespace"` // path for testnet.DoIn; "" is this host's own
	Interface string `json:"interface"` // "" on loopback
}

// NodeState is one node of a lab.
type NodeState struct {
	ID      int    `json:"id"`
	Dir     string `json:"dir"`
	Log     string `json:"log"`
	Data    string `json:"data"`
	Control string `json:"control"`
	Place   Place  `json:"place"`
	PID     int    `json:"pid"` // 0 while it does not run
	Cut     bool   `json:"cut"`
}

// NodeStatus is what a node of a lab answers.
type NodeStatus struct {
	NodeState
	Status *node.Status `json:"status"` // nil when it does not answer
	Error  string       `json:"error"`  // why
}

// Verbs are what can be done to a node of a lab.
var verbs = map[string]func(c *control, id int) error{
	"kill":  func(c *control, id int) error { return c.lab.Kill(id) },
	"stop":  func(c *control, id int) error { return c.lab.Stop(id) },
	"start": (*control).start,
	"cut":   func(c *control, id int) error { return c.setCut(id, true) },
	"heal":  func(c *control, id int) error { return c.setCut(id, false) },
}

// control answers for a lab over HTTP: GET /state, GET /status, POST /nodes/ID/VERB, POST /down.
type control struct {
	lab   *Lab
	since time.Time

	quit    chan struct{} // closed when somebody wants the lab down
	quitter sync.Once
	down    chan struct{} // closed when it is
	downErr error

	mu  sync.Mutex
	cut map[int]bool
}

func newControl(l *Lab) *control {
	return &control{lab: l, since: time.Now(), quit: make(chan struct{}), down: make(chan struct{}), cut: map[int]bool{}}
}

// isDown lets those go who wait for the end.
func (c *control) isDown(err error) {
	c.downErr = err
	close(c.down)
}

// failure is the body of every answer but 200.
type failure struct {
	Error  string `json:"error"`
	Mended bool   `json:"mended"` // the user's to mend
}

func (c *control) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.state(), nil) })
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { answer(w, c.status(r), nil) })
	mux.HandleFunc("POST /nodes/{id}/{verb}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, c.do(r.PathValue("id"), r.PathValue("verb")))
	})
	mux.HandleFunc("POST /down", func(w http.ResponseWriter, _ *http.Request) {
		c.quitter.Do(func() { close(c.quit) })
		<-c.down
		answer(w, struct{}{}, c.downErr)
	})
	return mux
}

func answer(w http.ResponseWriter, value any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		value = failure{Error: err.Error(), Mended: mended(err)}
	}
	_ = json.NewEncoder(w).Encode(value) // who asked may be gone
}

func (c *control) state() State {
	l := c.lab
	s := State{
		PID: os.Getpid(), Since: c.since, Cluster: node.ClusterString(l.Cluster), Transport: l.Options.Transport,
		Rule: l.Options.Rule, Dir: l.Options.Dir, Binary: l.Options.Binary, Nodes: c.nodes(),
	}
	for i := range l.Options.Clients {
		place := Place{Interface: l.ClientDevice()}
		if m := l.client(i); m != nil {
			place.Namespace = m.Path()
		}
		s.Clients = append(s.Clients, place)
	}
	return s
}

func (c *control) nodes() []NodeState {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lab.mu.Lock()
	defer c.lab.mu.Unlock()
	var list []NodeState
	for _, n := range c.lab.nodes {
		s := NodeState{ID: n.ID, Dir: n.Dir, Log: n.LogFile, Data: n.Data.String(), Control: n.Control,
			Place: Place{Interface: c.lab.ClientDevice()}, Cut: c.cut[n.ID]}
		if n.member != nil {
			s.Place.Namespace = n.member.Path()
		}
		if n.running() {
			s.PID = n.cmd.Process.Pid
		}
		list = append(list, s)
	}
	return list
}

// running says whether the node's process is there. The caller has the lab's lock.
func (n *Node) running() bool {
	if n.cmd == nil {
		return false
	}
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// status asks all running nodes at once.
func (c *control) status(r *http.Request) []NodeStatus {
	nodes := c.nodes()
	list := make([]NodeStatus, len(nodes))
	var asking sync.WaitGroup
	for i := range nodes {
		list[i].NodeState = nodes[i]
		if nodes[i].PID == 0 {
			list[i].Error = "it does not run"
			continue
		}
		asking.Go(func() {
			s, err := c.lab.Status(r.Context(), nodes[i].ID)
			if err != nil {
				list[i].Error = err.Error()
				return
			}
			list[i].Status = &s
		})
	}
	asking.Wait()
	return list
}

func (c *control) do(idText, verb string) error {
	id, err := strconv.Atoi(idText)
	act := verbs[verb]
	if err != nil || act == nil {
		return fmt.Errorf("%w: nothing is known about doing %q to node %q", ErrOptions, verb, idText)
	}
	return act(c, id)
}

// start starts a node, also one that ended by itself.
func (c *control) start(id int) error {
	if ended := c.lab.Ended(id); ended != nil {
		select {
		case <-ended:
			if err := c.lab.Stop(id); err != nil {
				return err
			}
		default:
		}
	}
	return c.lab.Start(id)
}

func (c *control) setCut(id int, cut bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	act := c.lab.Heal
	if cut {
		act = c.lab.Cut
	}
	if err := act(id); err != nil {
		return err
	}
	c.cut[id] = cut
	return nil
}
