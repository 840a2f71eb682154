package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/service"
	"lockstep/service/kv"
	"lockstep/service/lock"
)

// lockLab is a lab of one node, and a shell in it that has `lockstep`.
func lockLab(t *testing.T) (runtime string, sh func(script string) *exec.Cmd) {
	t.Helper()
	if testing.Short() {
		t.Skip("a cluster of real processes for seconds")
	}
	runtime, _ = upLab(t, "--nodes", "1", "--transport", "udp")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, dir := t.TempDir(), t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n%s=1 exec %s \"$@\"\n", asLockstep, self)
	if err := os.WriteFile(filepath.Join(bin, "lockstep"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return runtime, func(script string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), self, "lab", "exec", "--runtime", runtime, "--", "sh", "-c", "set -e\n"+script)
		cmd.Env = append(os.Environ(), asLockstep+"=1", "PATH="+bin+":"+os.Getenv("PATH"))
		cmd.Dir = dir
		cmd.WaitDelay = time.Second
		return cmd
	}
}

// succeeds runs a script that must, and returns what it said.
func succeeds(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// TestLockRunHoldsALock: one command at a time, in the order of their coming; the environment and the exit code are the
// command's; what is stopped or loses its lock is stopped with all that it has started.
func TestLockRunHoldsALock(t *testing.T) {
	runtime, sh := lockLab(t)
	t.Run("one after the other", func(t *testing.T) {
		out := succeeds(t, sh(`
			lockstep lock run a --value here -- sh -c 'echo first $LOCKSTEP_LOCK $LOCKSTEP_TOKEN >> log; touch began; sleep 1; echo end >> log' &
			until test -e began; do sleep 0.02; done
			lockstep lock get a
			lockstep lock acquire a || test $? = 3
			lockstep lock run a --wait 20s -- sh -c 'echo second $LOCKSTEP_LOCK $LOCKSTEP_TOKEN >> log; exit 9' || test $? = 9
			wait
			cat log`))
		lines := strings.Split(strings.TrimSpace(out[strings.Index(out, "first "):]), "\n")
		var one, two uint64
		_, err1 := fmt.Sscanf(lines[0], "first a %d", &one)
		_, err2 := fmt.Sscanf(lines[len(lines)-1], "second a %d", &two)
		if err1 != nil || err2 != nil || one >= two || lines[1] != "end" || !strings.Contains(out, `held by "here"`) {
			t.Errorf("%s", out)
		}
	})
	t.Run("nobody waits longer than he wants", func(t *testing.T) {
		succeeds(t, sh(`
			lockstep lock acquire b --ttl 30s
			lockstep lock run b --wait 200ms -- touch never || test $? = 3
			lockstep lock acquire b --wait 200ms || test $? = 3
			! test -e never`))
	})
	t.Run("with a key, or not at all", func(t *testing.T) {
		succeeds(t, sh(`
			lockstep transaction 'lock acquire job --ttl 30s' 'kv put job begun'
			lockstep transaction 'lock acquire job --ttl 30s' 'kv put job twice' || test $? = 3
			test "$(lockstep kv get job)" = begun
			lockstep transaction 'lock acquire other --ttl 30s' 'kv cas job twice --version 0' || test $? = 3
			lockstep lock get other | grep nobody`))
	})
	t.Run("released by somebody else", func(t *testing.T) {
		out := succeeds(t, sh(`
			cat > deaf <<- 'END'
				trap '' TERM
				touch deafened
				exec sleep 100
			END
			lockstep lock run c -- sh -c '
				sleep 100 & echo $! > child
				sh deaf & echo $! > deafchild
				until test -e deafened; do sleep 0.02; done
				echo $LOCKSTEP_TOKEN > token; wait' &
			until test -s token; do sleep 0.02; done
			lockstep lock release c $(cat token)
			wait $! && exit 1 || test $? = 1
			gone() { case "$(cut -d' ' -f3 /proc/$1/stat)" in ''|Z) ;; *) return 1;; esac; }
			gone $(cat child)
			for i in $(seq 100); do gone $(cat deafchild) && break || sleep 0.02; done
			gone $(cat deafchild)`))
		if !strings.Contains(out, "lost") {
			t.Errorf("%s", out)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		succeeds(t, sh(`
			lockstep lock run d -- sh -c 'trap "exit 5" TERM; touch ready; while :; do sleep 0.02; done' &
			until test -e ready; do sleep 0.02; done
			kill $!
			wait $! || test $? = 5
			lockstep lock acquire d`))
	})
	t.Run("without a leader", func(t *testing.T) {
		cmd := sh(`lockstep lock run e --ttl 1s --timeout 2s -- sh -c 'touch holding; trap "" TERM; while :; do sleep 0.02; done'`)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for _, err := os.Stat(filepath.Join(cmd.Dir, "holding")); err != nil; _, err = os.Stat(filepath.Join(cmd.Dir, "holding")) {
			time.Sleep(20 * time.Millisecond)
		}
		lockstep(t, "lab", "kill", "--runtime", runtime, "1").want(t, 0)
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(out.String(), "no leader has answered") {
			t.Errorf("%v\n%s", err, out.String())
		}
		lockstep(t, "lab", "start", "--runtime", runtime, "1").want(t, 0)
	})
}

// TestLockServe is what a program that speaks HTTP does with locks.
func TestLockServe(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not to be had")
	}
	_, sh := lockLab(t)
	out := succeeds(t, sh(`
		lockstep lock serve --listen 127.0.0.1:7591 2> log &
		server=$!
		trap 'kill $server' EXIT
		until grep -q serving log; do sleep 0.02; done
		ask() { curl -s -o body -w '%{http_code}' "$@"; }
		at=127.0.0.1:7591
		test $(ask $at/lead/web/x) = 503
		test $(ask -X PUT --data host-a:80 "$at/lock/web?ttl=20s") = 200
		token=$(sed 's/.*"token":\([0-9]*\).*/\1/' body)
		test $(ask -X PUT --data host-b:80 "$at/lock/web?ttl=20s") = 409
		grep -q '"reason":"Held"' body
		grep -q '"value":"host-a:80"' body
		test $(ask -X PUT "$at/lock/web?ttl=20s&token=$token") = 200
		test $(ask -X PUT "$at/lock/web?ttl=20s&token=1") = 409
		test $(ask -X PUT "$at/lock/web") = 400
		test $(ask -X PUT "$at/lock/web?ttl=9999h") = 400
		test $(ask -X DELETE $at/lock/web) = 400
		test $(ask $at/lock/web) = 200
		curl -s -o /dev/null -w '%{http_code} %{redirect_url}\n' -X POST "$at/lead/web/a/b?c=d"
		lockstep lock announce web --value host-c:80 --ttl 20s
		ask "$at/lock?prefix=w" > code && grep -q '"announced":1' body
		test $(ask -X PUT --data https://host-d/base/ "$at/lock/x/y?ttl=20s") = 200
		curl -s -o /dev/null -w '%{http_code} %{redirect_url}\n' "$at/lead/x%2Fy/z"
		test $(ask -X PUT --data 'no address' "$at/lock/bad?ttl=20s") = 200
		test $(ask $at/lead/bad/) = 502
		test $(ask -X DELETE "$at/lock/web?token=$token") = 204
		test $(ask -X DELETE "$at/lock/web?token=$token") = 409
		test $(ask $at/lead/web/x) = 503`))
	for _, want := range []string{"307 http://host-a:80/a/b?c=d\n", "307 https://host-d/base/z\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// TestLockServeWaitsNoLongerThanItMay: a request does not wait for one that waits for a session longer than it may itself.
func TestLockServeWaitsNoLongerThanItMay(t *testing.T) {
	s := &lockServer{flags: &shellFlags{timeout: time.Hour}, dialing: make(chan struct{}, 1)}
	s.dialing <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if conn, err := s.session(ctx); conn != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", conn, err)
	}
}

// TestWordsOfKeysAndLocks: what the shell makes of words, and what it will not send.
func TestWordsOfKeysAndLocks(t *testing.T) {
	for words, want := range map[string]kv.Request{
		"get k":                       {Command: kv.Get, Key: []byte("k")},
		"put k 'a b'":                 {Command: kv.Put, Key: []byte("k"), Value: []byte("a b")},
		"cas k v --version 7":         {Command: kv.CompareAndSet, Key: []byte("k"), Value: []byte("v"), Version: 7},
		"delete k --version 7":        {Command: kv.Delete, Key: []byte("k"), Version: 7},
		"range --prefix a/ --limit 2": {Command: kv.Range, From: []byte("a/"), To: []byte("a0"), Limit: 2},
		"watch a":                     {Command: kv.Watch, Key: []byte("a"), On: true},
	} {
		var q kv.Request
		payload, err := encodeWords(kvShell(), words)
		if err != nil || !kv.DecodeRequest(payload, &q) || fmt.Sprintf("%+v", q) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: %+v, %v", words, q, err)
		}
	}
	for words, want := range map[string]lock.Request{
		"acquire a --ttl 10s":   {Command: lock.Acquire, Name: []byte("a"), TTLMs: 10000, Keep: true},
		"acquire a --wait 1ns":  {Command: lock.Acquire, Name: []byte("a"), WaitMs: 1},
		"announce a --value b":  {Command: lock.Announce, Name: []byte("a"), Value: []byte("b")},
		"renew a 5 --ttl 1s":    {Command: lock.Renew, Name: []byte("a"), Token: 5, TTLMs: 1000},
		"set a 5 v":             {Command: lock.SetValue, Name: []byte("a"), Token: 5, Value: []byte("v")},
		"release a 5":           {Command: lock.Release, Name: []byte("a"), Token: 5},
		"get a --after 3":       {Command: lock.Get, Name: []byte("a"), Token: 3},
		"list db/ --limit 3":    {Command: lock.List, Name: []byte("db/"), Limit: 3},
		"watch --prefix=true a": {Command: lock.Subscribe, Name: []byte("a"), Prefix: true, On: true},
	} {
		var q lock.Request
		payload, err := encodeWords(lockShell(), words)
		if err != nil || !lock.DecodeRequest(payload, &q) || fmt.Sprintf("%+v", q) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: %+v, %v", words, q, err)
		}
	}
	long := strings.Repeat("k", 257)
	for _, words := range []string{"get", "put k", "cas k v", "get " + long, "range --prefix a --to b"} {
		if _, err := encodeWords(kvShell(), words); err == nil {
			t.Errorf("kv %s", words)
		}
	}
	for _, words := range []string{"acquire", "acquire a --ttl -1s", "acquire a --wait 999999h", "release a b", "get " + long} {
		if _, err := encodeWords(lockShell(), words); err == nil {
			t.Errorf("lock %s", words)
		}
	}
	if shellServiceOf(service.KV) == nil || shellServiceOf(service.Lock) == nil {
		t.Error("answers of a transaction cannot be printed")
	}
}

func encodeWords(v *shellService, line string) ([]byte, error) {
	words, err := shellWords(line)
	if err != nil {
		return nil, err
	}
	return v.encode(words)
}
