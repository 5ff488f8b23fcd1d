package emulate

// Sources returns the emulation's own C++ files by name, for others that run kernels: emulate.h and driver.cc, and
// prelude.cuh, which takes the place of the kernels' file of that name.
func Sources() map[string]string {
	return map[string]string{"emulate.h": header, "prelude.cuh": prelude, "driver.cc": driver}
}
