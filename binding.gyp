# Only delegates: node-gyp runs cmake-js, which builds all that CMakeLists.txt names.
# CMake works in build/cmake, because node-gyp keeps a Makefile of its own in build/.
{
  "targets": [{
    "target_name": "ovn_xdp",
    "type": "none",
    "actions": [{
      "action_name": "cmake",
      "inputs": ["CMakeLists.txt"],
      "outputs": ["<(PRODUCT_DIR)/ovn_xdp_native.node"],
      "action": ["node", "node_modules/cmake-js/bin/cmake-js", "compile", "--out", "build/cmake"],
    }],
  }],
}
