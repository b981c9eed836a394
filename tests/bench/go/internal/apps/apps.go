// Package apps starts the ABCI applications that are compared.
package apps

import (
	"crypto/sha256"
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

// Dseq serves our application from the home in dir.
func Dseq(dir, dseq string) (App, error) {
	return start(dir, dseq, "serve", "--home", dir, "--abci", "ADDRESS", "--http", "off")
}

// FreshHome makes a home in dir with the genesis file of another, removing what was there.
func FreshHome(dir, home string) error {
	genesis, err := os.ReadFile(genesisFile(home))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(genesisFile(dir)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(genesisFile(dir), genesis, 0o600)
}

func genesisFile(home string) string { return filepath.Join(home, "config", "genesis.json") }

// Genesis is what a dseq network's genesis says under app_state.
type Genesis struct {
	// Passthrough runs the default plugin on every transaction.
	Passthrough json.RawMessage
	// Noop has an empty pipeline: every transaction is accepted unchanged, no wasm runs.
	Noop json.RawMessage
}

// ReadGenesis takes app_state from a home that dseq init made. Plugins are put inline, so that the state serves
// homes that have none.
func ReadGenesis(home string) (Genesis, error) {
	path := genesisFile(home)
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
	if state["pipeline"], err = inline(state["pipeline"], filepath.Join(home, "plugins")); err != nil {
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
		return nil, errors.New("the pipeline is empty; the default plugin was expected")
	}
	for _, entry := range entries {
		if entry["wasm"] != nil {
			continue
		}
		wasm, err := findPlugin(plugins, fmt.Sprint(entry["sha256"]))
		if err != nil {
			return nil, err
		}
		entry["wasm"] = base64.StdEncoding.EncodeToString(wasm)
	}
	return json.Marshal(entries)
}

func findPlugin(plugins, sha256Hex string) ([]byte, error) {
	paths, err := filepath.Glob(filepath.Join(plugins, "*.wasm"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		wasm, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if fmt.Sprintf("%x", sha256.Sum256(wasm)) == sha256Hex {
			return wasm, nil
		}
	}
	return nil, fmt.Errorf("no plugin in %s has the hash %s", plugins, sha256Hex)
}
