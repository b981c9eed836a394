// A CometBFT that breaks the rules when its home asks for it: a drop-in for the real one, for tests of a network with a
// byzantine validator. It is no part of the product.
//
// Without a file named byzantine in its home it is the pinned CometBFT. The file holds the name of a behaviour, and may be
// changed while the node runs.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/cometbft/cometbft/cmd/cometbft/commands"
	cfg "github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/consensus"
	"github.com/cometbft/cometbft/libs/cli"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
)

func main() {
	root := commands.RootCmd
	root.AddCommand(commands.VersionCmd, commands.NewRunNodeCmd(newNode))
	if err := cli.PrepareBaseCmd(root, "CMT", "").Execute(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// newNode makes a whole node whose app and consensus pass through ours. In a home that asks for garbage there is no node, only
// its keys: it does not return.
func newNode(config *cfg.Config, logger log.Logger) (*node.Node, error) {
	nodeKey, err := p2p.LoadNodeKey(config.NodeKeyFile())
	if err != nil {
		return nil, err
	}
	asked := watch(config.RootDir, logger)
	if asked.is(garbage) {
		return nil, sendGarbage(config, nodeKey, logger)
	}
	validator := privval.LoadFilePV(config.PrivValidatorKeyFile(), config.PrivValidatorStateFile())
	n, err := node.NewNode(
		config,
		validator,
		nodeKey,
		appClients{proxy.DefaultClientCreator(config.ProxyApp, config.ABCI, config.DBDir()), asked},
		node.DefaultGenesisDocProviderFunc(config),
		cfg.DefaultDBProvider,
		node.DefaultMetricsProvider(config.Instrumentation),
		logger,
	)
	if err != nil {
		return nil, err
	}
	rpc, err := n.ConfigureRPC()
	if err != nil {
		return nil, err
	}
	state, ok := rpc.ConsensusState.(*consensus.State)
	if !ok {
		return nil, errors.New("the node's consensus state is of another type than expected")
	}
	liar := newLiar(asked, state, validator.Key.PrivKey, n.GenesisDoc().ChainID, logger.With("module", "byzantine"))
	node.CustomReactors(map[string]p2p.Reactor{"CONSENSUS": &reactor{n.ConsensusReactor(), liar}})(n)
	return n, nil
}
