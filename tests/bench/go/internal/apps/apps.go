// Package apps starts the ABCI applications that are compared.
package apps

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"dseq/bench/internal/child"
)

const startPatience = 30 * time.Second

// App is a running application and where it listens.
type App struct {
	*child.Child
	// Address as CometBFT writes it.
	Address string
	// socketDir holds only the socket: the path of one may not be longer than about a hundred bytes.
	socketDir string
}

// Stop ends the application and removes its socket.
func (a App) Stop() error {
	return errors.Join(a.Child.Stop(), os.RemoveAll(a.socketDir))
}

func start(dir, command string, args ...string) (App, error) {
	socketDir, err := os.MkdirTemp("", "dseq-bench-")
	if err != nil {
		return App{}, err
	}
	socket := filepath.Join(socketDir, "abci.sock")
	address := "unix://" + socket
	for i := range args {
		if args[i] == "ADDRESS" {
			args[i] = address
		}
	}
	process, err := child.Start(filepath.Join(dir, "app.log"), nil, command, args...)
	if err != nil {
		return App{}, errors.Join(err, os.RemoveAll(socketDir))
	}
	app := App{Child: process, Address: address, socketDir: socketDir}
	if err := process.AwaitSocket(socket, startPatience); err != nil {
		return App{}, errors.Join(err, app.Stop())
	}
	return app, nil
}

// Kvstore serves CometBFT's own Go key-value store, in memory, by CometBFT's own socket server.
func Kvstore(dir, abciCli string) (App, error) {
	return start(dir, abciCli, "kvstore", "--address", "ADDRESS")
}

// Dseq serves our application from a fresh home in dir.
func Dseq(dir, dseq string) (App, error) {
	return start(dir, dseq, "serve", "--home", dir, "--abci", "ADDRESS")
}

// Genesis is what a dseq network's genesis says under app_state.
type Genesis struct {
	// Passthrough runs the default plugin on every transaction.
	Passthrough json.RawMessage
	// Noop has an empty pipeline: every transaction is accepted unchanged, no wasm runs.
	Noop json.RawMessage
}

// ReadGenesis takes app_state from a genesis file made for a dseq network. Plugins are put inline, so that
// the state serves any fresh home.
func ReadGenesis(path, plugins string) (Genesis, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Genesis{}, err
	}
	var genesis struct {
		AppState struct {
			Dseq map[string]json.RawMessage `json:"dseq"`
		} `json:"app_state"`
	}
	if err := json.Unmarshal(text, &genesis); err != nil {
		return Genesis{}, fmt.Errorf("%s: %w", path, err)
	}
	state := genesis.AppState.Dseq
	if state["pipeline"] == nil {
		return Genesis{}, fmt.Errorf("%s has no app_state.dseq.pipeline", path)
	}
	if state["pipeline"], err = inline(state["pipeline"], plugins); err != nil {
		return Genesis{}, fmt.Errorf("%s: %w", path, err)
	}
	passthrough, err := json.Marshal(map[string]any{"dseq": state})
	if err != nil {
		return Genesis{}, err
	}
	state["pipeline"] = json.RawMessage("[]")
	noop, err := json.Marshal(map[string]any{"dseq": state})
	return Genesis{Passthrough: passthrough, Noop: noop}, err
}

// inline puts the bytes of each plugin that is only named by its hash into the pipeline.
func inline(pipeline json.RawMessage, plugins string) (json.RawMessage, error) {
	var entries []map[string]any
	if err := json.Unmarshal(pipeline, &entries); err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("the pipeline is empty; the default plugin was expected")
	}
	for _, entry := range entries {
		if entry["wasm"] != nil {
			continue
		}
		wasm, err := os.ReadFile(filepath.Join(plugins, fmt.Sprint(entry["name"])+".wasm"))
		if err != nil {
			return nil, err
		}
		entry["wasm"] = base64.StdEncoding.EncodeToString(wasm)
	}
	return json.Marshal(entries)
}
