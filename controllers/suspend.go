package controllers

// suspend decides for a job whose spec.suspend is true.
//
//	an attempt is alive: stop it; its pods save a checkpoint first
//	none is:             wait for spec.suspend to become false, which starts an attempt that counts as no restart
func suspend(o observation) plan {
	if o.alive() {
		return plan{action: stop}
	}
	return plan{action: wait, children: true}
}
