# What `sam build` calls for every function and layer (Metadata: BuildMethod: makefile), with ARTIFACTS_DIR set.
# The processor has to be the one of the template's parameter Architecture: `make build ARCH=…` sets both.
ARCH ?= arm64

build-%:
	@python=$$(scripts/find-python 3.13) && "$$python" layers/build.py $* "$(ARTIFACTS_DIR)" $(ARCH)
