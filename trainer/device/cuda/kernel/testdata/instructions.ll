; The instructions of prelude.cuh as LLVM's own intrinsics, whose PTX is known to be right.
target triple = "nvptx64-nvidia-cuda"

declare <2 x bfloat> @llvm.nvvm.ff2bf16x2.rn(float, float)
declare float @llvm.nvvm.ex2.approx.ftz.f(float)
declare float @llvm.nvvm.lg2.approx.ftz.f(float)
declare void @llvm.nvvm.cp.async.cg.shared.global.16.s(ptr addrspace(3), ptr addrspace(1), i32)
declare void @llvm.nvvm.cp.async.wait.all()
declare { i32, i32, i32, i32 } @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3))
declare { i32, i32, i32, i32 } @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.trans.b16.p3(ptr addrspace(3))
declare { float, float, float, float } @llvm.nvvm.mma.m16n8k16.row.col.bf16(i32, i32, i32, i32, i32, i32, float, float, float, float)

define void @conversions(ptr addrspace(1) %out, float %low, float %high) {
  %pair = call <2 x bfloat> @llvm.nvvm.ff2bf16x2.rn(float %high, float %low)
  store <2 x bfloat> %pair, ptr addrspace(1) %out
  %e = call float @llvm.nvvm.ex2.approx.ftz.f(float %low)
  %l = call float @llvm.nvvm.lg2.approx.ftz.f(float %high)
  %sum = fadd float %e, %l
  %p = getelementptr float, ptr addrspace(1) %out, i32 1
  store float %sum, ptr addrspace(1) %p
  ret void
}

define void @copies(ptr addrspace(3) %to, ptr addrspace(1) %from, i32 %size) {
  call void @llvm.nvvm.cp.async.cg.shared.global.16.s(ptr addrspace(3) %to, ptr addrspace(1) %from, i32 %size)
  call void @llvm.nvvm.cp.async.wait.all()
  ret void
}

define void @matrices(ptr addrspace(3) %row, ptr addrspace(1) %out) {
  %a = call { i32, i32, i32, i32 } @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3) %row)
  %b = call { i32, i32, i32, i32 } @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.trans.b16.p3(ptr addrspace(3) %row)
  %a0 = extractvalue { i32, i32, i32, i32 } %a, 0
  %a1 = extractvalue { i32, i32, i32, i32 } %a, 1
  %a2 = extractvalue { i32, i32, i32, i32 } %a, 2
  %a3 = extractvalue { i32, i32, i32, i32 } %a, 3
  %b0 = extractvalue { i32, i32, i32, i32 } %b, 0
  %b1 = extractvalue { i32, i32, i32, i32 } %b, 1
  %c = call { float, float, float, float } @llvm.nvvm.mma.m16n8k16.row.col.bf16(i32 %a0, i32 %a1, i32 %a2, i32 %a3, i32 %b0, i32 %b1, float 0.0, float 0.0, float 0.0, float 0.0)
  store { float, float, float, float } %c, ptr addrspace(1) %out
  ret void
}

define void @faults(ptr addrspace(1) %word, i32 %bits) {
  %old = atomicrmw or ptr addrspace(1) %word, i32 %bits monotonic
  ret void
}
