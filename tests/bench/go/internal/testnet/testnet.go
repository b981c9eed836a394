// Package testnet runs a network of CometBFT nodes on loopback, with the built-in no-op application or with ours.
package testnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"dseq/bench/internal/apps"
	"dseq/bench/internal/child"
	"dseq/bench/internal/load"
)

const readyPatience = 60 * time.Second

// Options of a network.
type Options struct {
	CometBFT string
	// Dir is where the homes go. What was there is removed.
	Dir   string
	Nodes int
	// Settings are changes to CometBFT's configuration, by dotted key. None: its defaults.
	Settings map[string]any
	// AppState goes into genesis. Only our application reads it.
	AppState json.RawMessage
	// Dseq is our binary; without it the nodes run CometBFT's built-in no-op application.
	Dseq string
}

// Network is a running one.
type Network struct {
	URLs  []string
	nodes []*child.Child
	apps  []apps.App
}

// ReadSettings merges files of dotted keys, later ones over earlier ones.
func ReadSettings(paths ...string) (map[string]any, error) {
	settings := map[string]any{}
	for _, path := range paths {
		var tree map[string]any
		if _, err := toml.DecodeFile(path, &tree); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		flatten("", tree, settings)
	}
	return settings, nil
}

func flatten(prefix string, tree, into map[string]any) {
	for key, value := range tree {
		if branch, ok := value.(map[string]any); ok {
			flatten(prefix+key+".", branch, into)
		} else {
			into[prefix+key] = value
		}
	}
}

// Start makes the homes, runs all nodes and waits until they are connected and have committed a transaction.
func Start(o Options) (*Network, error) {
	if err := os.RemoveAll(o.Dir); err != nil {
		return nil, err
	}
	make := exec.Command(o.CometBFT, "testnet", "--v", fmt.Sprint(o.Nodes), "--o", o.Dir)
	make.Env = child.Environment()
	if out, err := make.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cometbft testnet: %w\n%s", err, out)
	}
	network := &Network{}
	if err := network.start(o); err != nil {
		return nil, errors.Join(err, network.Stop())
	}
	if err := network.awaitReady(); err != nil {
		return nil, errors.Join(err, network.Stop())
	}
	return network, nil
}

func (n *Network) start(o Options) error {
	ports, err := freePorts(3 * o.Nodes)
	if err != nil {
		return err
	}
	home := func(i int) string { return filepath.Join(o.Dir, fmt.Sprintf("node%d", i)) }
	peers := make([]string, o.Nodes)
	for i := range peers {
		show := exec.Command(o.CometBFT, "show-node-id", "--home", home(i))
		show.Env = child.Environment()
		id, err := show.Output()
		if err != nil {
			return fmt.Errorf("cometbft show-node-id: %w", err)
		}
		peers[i] = fmt.Sprintf("%s@127.0.0.1:%d", strings.TrimSpace(string(id)), ports[3*i])
	}
	for i := range o.Nodes {
		proxy := "noop"
		if o.Dseq != "" {
			if err := setAppState(filepath.Join(home(i), "config", "genesis.json"), o.AppState); err != nil {
				return err
			}
			app, err := apps.Dseq(home(i), o.Dseq)
			if err != nil {
				return err
			}
			n.apps = append(n.apps, app)
			proxy = app.Address
		}
		var others []string
		for j, peer := range peers {
			if j != i {
				others = append(others, peer)
			}
		}
		env := append(runtimeSettings(), environment(o.Settings)...)
		env = append(env, environment(map[string]any{
			"proxy_app":                              proxy,
			"p2p.laddr":                              fmt.Sprintf("tcp://127.0.0.1:%d", ports[3*i]),
			"p2p.persistent_peers":                   strings.Join(others, ","),
			"rpc.laddr":                              fmt.Sprintf("tcp://127.0.0.1:%d", ports[3*i+1]),
			"instrumentation.prometheus_listen_addr": fmt.Sprintf("127.0.0.1:%d", ports[3*i+2]),
		})...)
		node, err := child.Start(filepath.Join(home(i), "cometbft.log"), env, o.CometBFT, "start", "--home", home(i))
		if err != nil {
			return err
		}
		n.nodes = append(n.nodes, node)
		n.URLs = append(n.URLs, fmt.Sprintf("http://127.0.0.1:%d", ports[3*i+1]))
	}
	return nil
}

// runtimeSettings are those that dseq start gives Go's runtime in CometBFT; the no-op application has the same.
func runtimeSettings() []string {
	settings := map[string]string{"GOGC": "400", "GOMEMLIMIT": "2GiB"}
	if runtime.NumCPU() < 8 {
		settings["GOMAXPROCS"] = "8"
	}
	var env []string
	for name, value := range settings {
		if os.Getenv(name) == "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// environment says settings the way CometBFT takes them from its environment, over its file.
func environment(settings map[string]any) []string {
	var env []string
	for key, value := range settings {
		env = append(env, fmt.Sprintf("CMT_%s=%v", strings.ToUpper(strings.ReplaceAll(key, ".", "_")), value))
	}
	return env
}

func (n *Network) awaitReady() error {
	deadline := time.Now().Add(readyPatience)
	for _, url := range n.URLs {
		for !load.Ready(url, len(n.URLs)-1) {
			if err := n.Ended(); err != nil {
				return err
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s is not ready after %s", url, readyPatience)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return load.Commit(n.URLs[0], 256)
}

// Ended is nil while every process of the network runs.
func (n *Network) Ended() error {
	for _, app := range n.apps {
		if err := app.Ended(); err != nil {
			return err
		}
	}
	for _, node := range n.nodes {
		if err := node.Ended(); err != nil {
			return err
		}
	}
	return nil
}

// CPU is processor time spent by all processes of a kind, in seconds.
type CPU struct {
	CometBFT float64 `json:"cometbft"`
	App      float64 `json:"app"`
}

// CPU spent so far.
func (n *Network) CPU() CPU {
	var cpu CPU
	for _, node := range n.nodes {
		cpu.CometBFT += node.CPUSeconds()
	}
	for _, app := range n.apps {
		cpu.App += app.CPUSeconds()
	}
	return cpu
}

// Minus is what was spent since before.
func (c CPU) Minus(before CPU) CPU {
	return CPU{c.CometBFT - before.CometBFT, c.App - before.App}
}

// Stop ends every process of the network, CometBFT first: it dies badly when its application goes away.
func (n *Network) Stop() error {
	all := []error{child.StopAll(n.nodes)}
	for _, app := range n.apps {
		all = append(all, app.Stop())
	}
	return errors.Join(all...)
}

func setAppState(path string, state json.RawMessage) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var genesis map[string]json.RawMessage
	if err := json.Unmarshal(text, &genesis); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	genesis["app_state"] = state
	if text, err = json.Marshal(genesis); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// freePorts asks the system for ports nobody uses now, so that a benchmark runs beside the local network.
func freePorts(count int) ([]int, error) {
	ports := make([]int, count)
	for i := range ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		ports[i] = listener.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
