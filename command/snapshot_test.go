package command

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"lockstep/node"
)

// The command finds the leader by way of a node that does not lead, asks it for just what it was told, and says what the
// leader says, be it a position or a refusal.
func TestSnapshotAsksTheLeader(t *testing.T) {
	serve := func(query string, code int, o *node.Operation) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || r.URL.Path != node.SnapshotPath || r.URL.RawQuery != query {
				t.Errorf("asked by %s %s", r.Method, r.URL)
			}
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(o)
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	for _, leader := range []bool{false, true} {
		query := ""
		if leader {
			query = "leader=1"
		}
		leads := serve(query, http.StatusOK, &node.Operation{Node: 3, Done: "a snapshot is asked for at position 4096", Position: 4096})
		follows := serve(query, http.StatusConflict, &node.Operation{Node: 2, Control: leads, Error: "this node does not lead"})
		var out strings.Builder
		err := takeSnapshot(t.Context(), &out, []node.NodeConfig{{ID: 2, Control: follows}}, leader)
		if err != nil || !strings.Contains(out.String(), "node 3: a snapshot is asked for at position 4096") {
			t.Errorf("%v, %q", err, out.String())
		}
		refuses := serve(query, http.StatusUnprocessableEntity, &node.Operation{Node: 3, Error: "refused: this node's disk is full"})
		err = takeSnapshot(t.Context(), &out, []node.NodeConfig{{ID: 3, Control: refuses}}, leader)
		if !errors.Is(err, node.ErrOperation) || !strings.Contains(err.Error(), "disk is full") {
			t.Errorf("%v: want why it was refused", err)
		}
	}
}
