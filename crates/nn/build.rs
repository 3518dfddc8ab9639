//! Compiles the CUDA kernels to PTX, with the feature `cuda` only.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    if let Err(error) = kernels::build() {
        println!("cargo:error={error}");
        std::process::exit(1);
    }
}

#[cfg(feature = "cuda")]
mod kernels {
    use std::error::Error;
    use std::path::Path;
    use std::process::Command;

    const SOURCES: [&str; 10] = [
        "activation",
        "adamw",
        "heads_long",
        "heads_long_back",
        "heads_rows",
        "heads_short",
        "linear",
        "modulate",
        "nearest",
        "normalise",
    ];
    const HEADERS: [&str; 5] = ["activation", "common", "flash", "heads", "tile"];

    /// One nvcc for each file, as many side by side as there are processors.
    pub(super) fn build() -> Result<(), Box<dyn Error>> {
        for name in ["CUDA_COMPUTE_CAP", "NVCC", "NVCC_CCBIN", "CUDA_HOME"] {
            println!("cargo:rerun-if-env-changed={name}");
        }
        for header in HEADERS {
            println!("cargo:rerun-if-changed=cuda/{header}.cuh");
        }
        let nvcc = cudaforge::CudaToolkit::detect()?.nvcc_path;
        let generation = cudaforge::detect_compute_cap()?.to_gencode_arg();
        let out = std::env::var("OUT_DIR")?;
        let processors = std::thread::available_parallelism()?.get();
        for sources in SOURCES.chunks(processors) {
            let mut running = Vec::new();
            for source in sources {
                let file = format!("cuda/{source}.cu");
                println!("cargo:rerun-if-changed={file}");
                let mut command = Command::new(&nvcc);
                command.args([&generation, "--ptx", "-std=c++17", "-O3"]);
                if let Ok(compiler) = std::env::var("NVCC_CCBIN") {
                    command.args(["-allow-unsupported-compiler", "-ccbin", &compiler]);
                }
                command.arg("-o").arg(Path::new(&out).join(format!("{source}.ptx"))).arg(&file);
                running.push((file, command.spawn()?));
            }
            for (file, mut child) in running {
                if !child.wait()?.success() {
                    return Err(format!("nvcc could not compile {file}; its messages are above").into());
                }
            }
        }
        Ok(())
    }
}
